//! Open questions, in rows of no particular set and in those of HalluAudio.

use idk_questions::{Verdict, judge, read_questions, write_questions};
use serde_json::json;

use crate::{clip, folder, read, rejections};

#[test]
fn generic_rows_may_be_open_and_have_several_right_answers() {
    let rows = json!([
        {"id": "g1", "audio": "a.wav", "question": "Who sings?", "answer": "Ann Lee", "aliases": ["Ann", "A. L."]},
        {"id": "g2", "audio": ["a.wav", "a.wav"], "question": "Same?", "answer": ["yes", "they are"], "task": "music"},
        {"id": "g3", "audio": "a.wav", "question": "Which?", "answer": "dog", "choices": ["dog", "cat"]},
        {"id": "g4", "audio": "a.wav", "question": "How many?", "answer": 2, "answer_match": "exact", "note": 1},
        {"id": "g5", "audio": "/etc/passwd", "question": "Which?", "answer": "dog"},
        {"audio": "a.wav", "question": "Which?", "answer": "dog"},
    ]);
    let (dir, set) = read(&rows, &["a.wav"]);
    assert_eq!(rejections(&set), [(5, "g5", "bad-path"), (6, "", "missing-field")]);
    let right: Vec<Vec<&str>> = set.questions.iter().map(|q| q.right_answers().collect()).collect();
    assert_eq!(right, [vec!["Ann Lee", "Ann", "A. L."], vec!["yes", "they are"], vec!["dog"], vec!["2"]]);
    assert_eq!(judge("I believe it is Ann.", &set.questions[0]).verdict, Verdict::Correct);
    assert_eq!(judge("2 or 3", &set.questions[3]).verdict, Verdict::Wrong);
    assert_eq!(set.questions[3].extra["note"], 1);

    let copy = dir.path().join("copy.jsonl");
    write_questions(&copy, &set.questions).unwrap();
    assert_eq!(read_questions(&copy).unwrap().questions, set.questions, "what is written is in MMAU's shape");
}

#[test]
fn hallu_audio_rows_are_open_questions_whose_clip_is_a_path() {
    let rows = [
        json!({"audio": "clips/a.wav", "prompt": "Is a bell ringing?", "reference": "No", "subset": "sound_existence"}),
        json!({"audio": {"path": "clips/a.wav", "bytes": null}, "prompt": "Who speaks?", "reference": "a man",
            "subset": "Speech-attribute"}),
        json!({"audio": "clips/a.wav", "prompt": "What key?", "reference": "It cannot be determined", "subset": "x"}),
    ];
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let dir = folder("hallu.jsonl", &lines, &["clips/a.wav"]);
    let set = read_questions(&dir.path().join("hallu.jsonl")).unwrap();
    assert_eq!(set.rejected, []);
    let ids: Vec<&str> = set.questions.iter().map(|question| question.id.as_str()).collect();
    assert_eq!(ids, ["a", "a-2", "a-3"]);
    let [bell, voice, key] = [0, 1, 2].map(|place| &set.questions[place]);
    assert_eq!((bell.task.as_str(), bell.sub_category.as_str()), ("sound", "sound_existence"));
    assert_eq!((voice.task.as_str(), clip(&dir, voice).as_str()), ("speech", "clips/a.wav"));
    assert_eq!(
        [judge("No, I hear none.", bell), judge("Yes", bell)].map(|it| it.verdict),
        [Verdict::Correct, Verdict::Wrong]
    );
    assert_eq!((key.unanswerable.as_deref(), key.task.as_str()), (Some(""), ""));
}
