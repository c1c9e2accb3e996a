//! Questions with options: MMAU, MMAR, MMSU, AIR-Bench and AVQA.

use idk_questions::{DuplicateChoices, ReadOptions, read_questions, read_questions_with, reason};
use serde_json::{Value, json};

use crate::{MMAU_CLIP, clip, folder, mmau, read, rejections};

#[test]
fn mmau_has_two_to_eight_options_and_a_category_that_may_be_a_list() {
    let options = ["wind", "rain", "bell", "dog", "cat", "hen", "pig", "cow"];
    let rows: Vec<Value> =
        [2, 4, 5, 8].iter().map(|&count| mmau(&format!("q{count}"), &options[..count])).collect();
    let (dir, set) = read(&json!(rows), MMAU_CLIP);
    assert_eq!(set.rejected, []);
    let counts: Vec<usize> = set.questions.iter().map(|question| question.choices.len()).collect();
    assert_eq!(counts, [2, 4, 5, 8]);
    for question in &set.questions {
        assert_eq!((question.answer.as_str(), question.category.as_str()), ("wind", "Reasoning"));
        assert_eq!(clip(&dir, question), "test-mini-audios/a.wav");
        assert!(question.extra.is_empty());
    }
}

#[test]
fn mmau_questions_with_duplicate_options_are_rejected_and_counted_unless_asked_for() {
    let rows = json!([
        mmau("q1", &["wind", "rain"]),
        mmau("q2", &["wind", "rain", "Wind"]),
        mmau("q3", &["rain", "wind", "wind"]),
    ]);
    let (dir, set) = read(&rows, MMAU_CLIP);
    assert_eq!(rejections(&set), [(2, "q2", "duplicate-choices"), (3, "q3", "duplicate-choices")]);
    assert_eq!(reason::listed(&reason::counts(&set.rejected)), "2 duplicate-choices");
    let options = ReadOptions { duplicate_choices: DuplicateChoices::Merge, ..ReadOptions::default() };
    let merged = read_questions_with(&dir.path().join("q.json"), &options).unwrap();
    assert_eq!(merged.rejected, []);
    let choices: Vec<_> = merged.questions.iter().map(|question| question.choices.join("|")).collect();
    assert_eq!(choices, ["wind|rain", "wind|rain", "rain|wind"]);
}

#[test]
fn mmau_rows_of_the_first_release_are_named_after_their_clips() {
    let without_id = |clip: &str| {
        let mut row = mmau("", &["wind", "rain"]);
        row.as_object_mut().unwrap().remove("id");
        row["audio_id"] = json!(clip);
        row
    };
    let rows = json!([without_id("a.wav"), without_id("b.wav"), without_id("a.wav"), without_id("c.wav")]);
    let (_dir, set) = read(&rows, &["a.wav", "b.wav"]);
    let ids: Vec<&str> = set.questions.iter().map(|question| question.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "a-2"]);
    assert_eq!(rejections(&set), [(4, "", "missing-audio")]);
}

#[test]
fn mmar_keeps_its_mixed_modalities_and_its_own_keys() {
    let row = |id: &str, modality: &str| {
        json!({
            "id": id, "audio_path": "./audio/a.wav", "question": "Who speaks first?", "choices": ["Ann", "Bob"],
            "answer": "Bob", "modality": modality, "category": "Perception Layer",
            "sub-category": "Speaker Analysis", "language": "en", "source": "web", "url": "u", "timestamp": "t",
        })
    };
    let lines = format!("{}\n{}\n", row("m1", "speech"), row("m2", "mix-sound-music"));
    let dir = folder("MMAR-meta.jsonl", &lines, &["audio/a.wav"]);
    let set = read_questions(&dir.path().join("MMAR-meta.jsonl")).unwrap();
    assert_eq!(set.rejected, []);
    let question = &set.questions[1];
    assert_eq!((question.task.as_str(), question.answer_index()), ("mix-sound-music", Some(1)));
    assert_eq!(question.sub_category, "Speaker Analysis");
    let kept: Vec<&str> = question.extra.keys().map(String::as_str).collect();
    assert_eq!(kept, ["language", "source", "url", "timestamp"]);
}

#[test]
fn mmsu_is_speech_with_one_key_an_option() {
    let row = json!({
        "id": "s1", "task_name": "tone_detection", "audio_path": "audio/s1.wav", "question": "Which tone?",
        "choice_a": "1", "choice_b": 2, "choice_c": "rising", "choice_d": "falling", "answer_gt": 2,
        "category": "Perception", "sub-category": "Phonology",
    });
    let (dir, set) = read(&json!([row]), &["audio/s1.wav"]);
    assert_eq!(set.rejected, []);
    let question = &set.questions[0];
    assert_eq!(question.choices, ["1", "2", "rising", "falling"]);
    let fields = [&question.answer, &question.task, &question.category, &question.sub_category];
    assert_eq!(fields, ["2", "speech", "Perception", "tone_detection"]);
    assert_eq!(question.extra["sub-category"], "Phonology");
    assert_eq!(clip(&dir, question), "audio/s1.wav");
}

#[test]
fn air_bench_clips_are_found_in_the_folder_of_their_part() {
    let row = |id: u32, part: &str, path: &str| {
        json!({
            "path": path, "question": "Which?", "choice_a": "horn", "choice_b": "harp", "choice_c": "",
            "choice_d": null, "answer_gt": "harp", "task_name": part, "dataset_name": "set1", "uniq_id": id,
        })
    };
    let rows = json!([
        row(1, "Music_AQA", "a.wav"),
        row(2, "Audio_Grounding", "b.wav"),
        row(3, "Speaker_Age_Prediction", "c.wav"),
        row(4, "Music_AQA", "gone.wav"),
        row(5, "Music_AQA", "../../etc/passwd"),
    ]);
    let clips = ["Music_AQA_set1/a.wav", "Audio_Grounding_set1/b.flac", "c.wav"];
    let (dir, set) = read(&rows, &clips);
    let found: Vec<String> = set.questions.iter().map(|question| clip(&dir, question)).collect();
    assert_eq!(found, clips);
    let tasks: Vec<&str> = set.questions.iter().map(|question| question.task.as_str()).collect();
    assert_eq!(tasks, ["music", "sound", "speech"]);
    for question in &set.questions {
        assert_eq!((question.choices.len(), question.answer.as_str()), (2, "harp"));
        assert_eq!(question.dataset, "set1");
    }
    assert_eq!(rejections(&set), [(4, "4", "missing-audio"), (5, "5", "bad-path")]);
}

#[test]
fn an_answer_may_be_the_letter_of_its_column() {
    let row = |id: &str, a: &str, answer: &str| {
        json!({"id": id, "path": "a.wav", "question": "Which?", "choice_a": a, "choice_b": "", "choice_c": "D",
            "choice_d": "E", "answer_gt": answer})
    };
    let rows = json!([
        row("1", "C", "D"),
        row("2", "C", "A"),
        row("3", "C", "F"),
        row("4", "", "B"),
        row("5", "", "c")
    ]);
    let (_dir, set) = read(&rows, &["a.wav"]);
    let answers: Vec<&str> = set.questions.iter().map(|question| question.answer.as_str()).collect();
    assert_eq!(answers, ["D", "C", "D"], "an option of that text goes before the column of that letter");
    let expected = [(3, "3", "answer-not-in-choices"), (4, "4", "answer-not-in-choices")];
    assert_eq!(rejections(&set), expected);
}

#[test]
fn avqa_answers_are_indices_and_its_questions_are_asked_about_audio() {
    let row = |id: u32, answer: Value| {
        json!({
            "id": id, "video_name": "v_000030", "video_id": 341, "question_text": "What happened in the video?",
            "multi_choice": ["motorboat", "yacht", "sailboat", "car"], "answer": answer,
            "question_relation": "View", "question_type": "Happening", "dataset_name": "AVQA",
            "audio_path": "wav/v_30.wav",
        })
    };
    let rows = json!([
        row(1, json!(1)),
        row(2, json!(0)),
        row(3, json!(4)),
        row(4, json!(-1)),
        row(5, json!("car")),
        row(6, json!(null)),
    ]);
    let (dir, set) = read(&rows, &["wav/v_30.wav"]);
    let answers: Vec<&str> = set.questions.iter().map(|question| question.answer.as_str()).collect();
    assert_eq!(answers, ["yacht", "motorboat", "car"]);
    let question = &set.questions[0];
    assert_eq!((question.id.as_str(), question.question.as_str()), ("1", "What happened in the audio?"));
    let fields = [&question.task, &question.category, &question.sub_category, &question.dataset];
    assert_eq!(fields, ["sound", "View", "Happening", "AVQA"]);
    assert_eq!(clip(&dir, question), "wav/v_30.wav");
    let codes: Vec<&str> = set.rejected.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(codes, ["answer-not-in-choices", "answer-not-in-choices", "missing-field"]);
}

#[test]
fn avqa_without_paths_finds_clips_by_the_name_of_the_video() {
    let row = json!({"id": 1, "video_name": "v", "question_text": "Which?", "multi_choice": ["a b", "c d"], "answer": 1});
    let (dir, set) = read(&json!([row]), &["audio/v.wav"]);
    assert_eq!(clip(&dir, &set.questions[0]), "audio/v.wav");
    assert_eq!(set.questions[0].extra["video_name"], "v");
}
