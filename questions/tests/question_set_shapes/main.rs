//! Every shape of question set, on small files of its own making with the keys of the published ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use idk_common::fs::write_atomic;
use idk_questions::{
    DuplicateChoices, Question, QuestionSet, ReadOptions, RefusalOption, Scorer, Verdict, judge, judge_with,
    read_questions, read_questions_with, reason, write_questions,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with `text` as its question file and an empty file for each of `clips`.
fn folder(name: &str, text: &str, clips: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
    for clip in clips {
        write_atomic(&dir.path().join(clip), b"RIFF").unwrap();
    }
    dir
}

fn read(rows: &Value, clips: &[&str]) -> (TempDir, QuestionSet) {
    let dir = folder("q.json", &rows.to_string(), clips);
    let set = read_questions(&dir.path().join("q.json")).unwrap();
    (dir, set)
}

fn table(text: &str, clips: &[&str], options: ReadOptions) -> (TempDir, QuestionSet) {
    let dir = folder("q.csv", text, clips);
    let set = read_questions_with(&dir.path().join("q.csv"), &options).unwrap();
    (dir, set)
}

fn clip(dir: &TempDir, question: &Question) -> String {
    question.audio[0].strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned()
}

/// Line, id and code of every rejection.
fn rejections(set: &QuestionSet) -> Vec<(usize, &str, &str)> {
    set.rejected.iter().map(|row| (row.line, row.id.as_str(), row.reason.as_str())).collect()
}

fn mmau(id: &str, choices: &[&str]) -> Value {
    json!({
        "id": id, "audio_id": "./test-mini-audios/a.wav", "question": "What is heard?", "choices": choices,
        "answer": choices[0], "dataset": "AudioSet", "task": "sound", "split": "test-mini", "category": ["Reasoning"],
        "sub-category": "Event", "difficulty": "easy",
    })
}

const MMAU_CLIP: &[&str] = &["test-mini-audios/a.wav"];

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

const CLOTHO: &str = "\
file_name,QuestionText,answer,confidence
rain, at night.wav,Is it raining?,yes,yes
";

#[test]
fn clotho_aqa_answers_are_those_that_two_of_three_annotators_give() {
    let text = "file_name,QuestionText,answer,confidence\r\n\
        a.wav,Is it raining?,yes,yes\r\n\
        a.wav,\"What, if anything, falls?\",rain,maybe\r\n\
        a.wav,Is it raining?,no,maybe\r\n\
        a.wav,Is it raining?,Yes,no\r\n\
        \r\n\
        \"b, c.wav\",How many dogs?,two,yes\r\n\
        \"b, c.wav\",How many dogs?,three,no\r\n\
        \"b, c.wav\",How many dogs?,one,no\r\n\
        a.wav,\"What, if anything, falls?\",water,yes\r\n\
        a.wav,\"What, if anything, falls?\",Rain,yes\r\n";
    let (dir, set) = table(text, &["audio_files/a.wav", "b, c.wav"], ReadOptions::default());
    assert_eq!(set.questions.len() + set.rejected.len(), 3);
    assert_eq!(rejections(&set), [(7, "b, c.wav#1", "no-agreement")]);
    assert!(set.rejected[0].detail.contains("`two`, `three`, `one`"), "{}", set.rejected[0].detail);
    let [raining, falls] = &set.questions[..] else { panic!("{:?}", set.questions) };
    assert_eq!((raining.id.as_str(), raining.answer.as_str()), ("a.wav#1", "yes"));
    assert_eq!((falls.id.as_str(), falls.answer.as_str()), ("a.wav#2", "rain"));
    assert_eq!(falls.question, "What, if anything, falls?");
    assert!(falls.is_open() && falls.aliases.is_empty());
    assert_eq!(clip(&dir, falls), "audio_files/a.wav");
    assert_eq!(raining.task, "sound");
    assert_eq!(raining.extra["annotators"], json!(["yes", "no", "Yes"]));
    assert_eq!(raining.extra["confidence"], json!(["yes", "maybe", "no"]));
    assert_eq!(judge("Yes, it is.", raining).verdict, Verdict::Correct);
    assert_eq!(judge("No.", raining).verdict, Verdict::Wrong);
    assert_eq!(judge("I don't know", raining).verdict, Verdict::Refused);
}

#[test]
fn clotho_aqa_agreement_can_be_asked_for_of_one_or_of_all() {
    let text = "file_name,QuestionText,answer\na.wav,Which?,dog\na.wav,Which?,cat\na.wav,Which?,dog\n";
    let answers = |min_annotators| {
        let (_dir, set) = table(text, &["a.wav"], ReadOptions { min_annotators, ..ReadOptions::default() });
        set.questions
            .iter()
            .flat_map(|q| q.right_answers().map(str::to_owned).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    assert_eq!(answers(1), ["dog", "cat"]);
    assert_eq!(answers(2), ["dog"]);
    assert_eq!(answers(3), [""; 0]);
}

#[test]
fn clotho_aqa_rows_that_are_torn_are_rejected_with_their_lines() {
    let dir = folder("q.csv", CLOTHO, &[]);
    let set = read_questions(&dir.path().join("q.csv")).unwrap();
    assert_eq!(rejections(&set), [(2, "", "bad-field")], "a comma without quotation marks");
    let text = "file_name,QuestionText,answer\n\
        a.wav,Which?,dog\n\
        ,Which?,dog\n\
        ../a.wav,Which?,dog\n\
        gone.wav,Which?,dog\n\
        a.wav,,dog\n\
        a.wav,Which <audio>?,dog\n\
        a.wav,\"Which?,dog\n\
        a.wav,Where?,dog\n";
    let (_dir, set) = table(text, &["a.wav"], ReadOptions { min_annotators: 1, ..ReadOptions::default() });
    assert_eq!(set.questions.len(), 1);
    let expected = [
        (3, "", "missing-field"),
        (4, "../a.wav#1", "bad-path"),
        (5, "gone.wav#1", "missing-audio"),
        (6, "a.wav#2", "missing-field"),
        (7, "a.wav#3", "reserved-token"),
        (8, "", "bad-field"),
    ];
    assert_eq!(rejections(&set), expected);
}

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

/// Four rows about one clip, as AQUA-Bench has them; `option` is what says that no answer is right.
fn aqua_bench(option: &str) -> Vec<Value> {
    let row = |id: u32, kind: &str, stem: &str, options: [&str; 3], answer: &str| {
        let letters = ["(a)", "(b)", "(c)", "(d)"];
        let listed =
            options.iter().chain([&option]).zip(letters).map(|(text, letter)| format!("{letter} {text}"));
        let listed: Vec<String> = listed.collect();
        json!({
            "id": id, "type": kind, "subtype": "animal", "question": format!("{stem} {} Choose one.", listed.join(" ")),
            "options": [options[0], options[1], options[2], option], "answer": answer, "audio_filename": "a.wav", "fold": 3,
        })
    };
    let animals = ["frog", "sheep", "crow"];
    vec![
        row(0, "Solvable", "Which animal calls?", animals, "sheep"),
        row(1, "AAD", "Which animal calls?", ["frog", "cow", "crow"], option),
        row(2, "IASD", "Which animal calls?", ["red", "blue", "green"], option),
        row(3, "IAQD", "Which colour has the car?", ["red", "blue", "green"], option),
    ]
}

#[test]
fn aqua_bench_is_read_with_its_option_that_refuses_or_without() {
    for option in ["None of the above", "Unanswerable"] {
        let dir = folder("aqua.json", &json!(aqua_bench(option)).to_string(), &["audio/a.wav"]);
        let path = dir.path().join("aqua.json");
        let set = read_questions(&path).unwrap();
        assert_eq!(set.rejected, []);
        let kinds: Vec<Option<&str>> = set.questions.iter().map(|it| it.unanswerable.as_deref()).collect();
        assert_eq!(kinds, [None, Some("AAD"), Some("IASD"), Some("IAQD")]);
        let solvable = &set.questions[0];
        assert_eq!((solvable.question.as_str(), solvable.answer.as_str()), ("Which animal calls?", "sheep"));
        assert_eq!(
            (clip(&dir, solvable).as_str(), solvable.sub_category.as_str()),
            ("audio/a.wav", "animal")
        );
        assert_eq!((&solvable.extra["type"], &solvable.extra["fold"]), (&"Solvable".into(), &3.into()));
        for (place, question) in set.questions.iter().enumerate() {
            assert_eq!((question.choices.len(), question.refusal_option.as_str()), (4, option));
            for reply in [option, "D", "The answer is (d)", "I don't know"] {
                assert_eq!(judge(reply, question).verdict, Verdict::Refused, "{reply}");
            }
            let right = if place == 0 { Verdict::Correct } else { Verdict::Wrong };
            assert_eq!(judge("The answer is (b)", question).verdict, right);
        }
        let drop = ReadOptions { refusal_option: RefusalOption::Drop, ..ReadOptions::default() };
        let dropped = read_questions_with(&path, &drop).unwrap();
        assert_eq!(dropped.rejected, []);
        for (place, question) in dropped.questions.iter().enumerate() {
            assert_eq!((question.choices.len(), question.refusal_option.as_str()), (3, ""));
            assert_eq!(question.is_answerable(), place == 0);
            assert_eq!(judge("I don't know", question).verdict, Verdict::Refused);
        }
        let copy = dir.path().join("copy.json");
        write_questions(&copy, &set.questions).unwrap();
        assert_eq!(
            read_questions(&copy).unwrap().questions,
            set.questions,
            "what is written keeps the option"
        );
    }
}

#[test]
fn an_option_that_refuses_must_be_one_of_the_options_and_being_the_answer_leaves_none() {
    let options = ["wind", "rain", "other"];
    let rows = json!([
        with(&mmau("r1", &options), &[("refusal_option", json!("Other."))]),
        with(&mmau("r2", &options), &[("refusal_option", json!("other")), ("answer", json!("other"))]),
        with(&mmau("r3", &options), &[("refusal_option", json!("none"))]),
    ]);
    let (_dir, set) = read(&rows, MMAU_CLIP);
    assert_eq!(rejections(&set), [(3, "r3", "bad-field")]);
    let [first, second] = [&set.questions[0], &set.questions[1]];
    assert_eq!((first.refusal_option.as_str(), first.is_answerable()), ("other", true));
    assert_eq!((second.unanswerable.as_deref(), second.answer.as_str()), (Some(""), ""));
    assert_eq!(
        [judge("wind", first), judge("(C)", first)].map(|it| it.verdict),
        [Verdict::Correct, Verdict::Refused]
    );
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

#[test]
fn a_question_has_no_right_answer_where_it_is_null_or_the_row_says_so() {
    let mut without_answer = mmau("u2", &["wind", "rain"]);
    without_answer.as_object_mut().unwrap().remove("answer");
    let rows = [
        with(&mmau("u1", &["(A) wind", "(B) rain"]), &[("answer", Value::Null), ("kind", json!("absent"))]),
        with(&without_answer, &[("answerable", json!(false))]),
        with(
            &mmau("u3", &["wind", "rain"]),
            &[("choices", json!([])), ("answer", json!("")), ("answerable", json!(false))],
        ),
        with(&mmau("a1", &["wind", "rain"]), &[("answerable", json!(true)), ("kind", json!("event"))]),
        json!({"id": "u4", "audio": "a.wav", "question": "Who sings?", "answer": null}),
    ];
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    for (name, text) in [("q.json", json!(rows[..4]).to_string()), ("q.jsonl", lines)] {
        let dir = folder(name, &text, &[MMAU_CLIP[0], "a.wav"]);
        let set = read_questions(&dir.path().join(name)).unwrap();
        let kinds: Vec<Option<&str>> =
            set.questions.iter().map(|question| question.unanswerable.as_deref()).collect();
        assert_eq!(kinds[..4], [Some("absent"), Some(""), Some(""), None], "{:?}", set.rejected);
        assert_eq!(set.questions[0].choices, ["wind", "rain"]);
        assert!(set.questions[..3].iter().all(|question| question.answer.is_empty()));
        let kept: Vec<&str> = set.questions[3].extra.keys().map(String::as_str).collect();
        assert_eq!(kept, ["answerable", "kind"], "keys of a question that has an answer stay as they are");
        for copy in ["copy.json", "copy.jsonl"].map(|name| dir.path().join(name)) {
            write_questions(&copy, &set.questions).unwrap();
            assert_eq!(read_questions(&copy).unwrap().questions, set.questions);
        }
    }
}

#[test]
fn no_reply_but_a_refusal_is_right_where_there_is_no_right_answer() {
    for choices in [&["wind", "rain", "dog"][..], &[]] {
        let question = Question {
            choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
            unanswerable: Some("absent".to_owned()),
            ..Question::default()
        };
        for reply in ["wind", "(B)", "It is the dog.", "???", "", "none of them"] {
            assert_ne!(judge(reply, &question).verdict, Verdict::Correct, "{reply}");
            for scorer in Scorer::ALL {
                assert_ne!(judge_with(scorer, reply, &question).verdict, Verdict::Correct, "{reply}");
            }
        }
        assert_eq!(judge("I don't know", &question).verdict, Verdict::Refused);
        assert_eq!(judge("wind", &question).verdict, Verdict::Wrong);
    }
}

#[test]
fn paths_out_of_the_folder_are_rejected_in_every_shape() {
    use std::os::unix::fs::symlink;
    let outside = folder("secret.wav", "x", &[]);
    let dir = tempfile::tempdir().unwrap();
    symlink(outside.path().join("secret.wav"), dir.path().join("link.wav")).unwrap();
    let absolute = outside.path().join("secret.wav").to_str().unwrap().to_owned();
    for name in ["link.wav", "../link.wav", absolute.as_str()] {
        let mcq = json!({"id": 1, "question": "Which?", "choices": ["a", "b"], "answer": "a"});
        let shapes = [
            with(&mcq, &[("audio_id", json!(name))]),
            with(&mcq, &[("audio_path", json!(name)), ("modality", json!("sound"))]),
            with(
                &mcq,
                &[
                    ("path", json!(name)),
                    ("choice_a", json!("a")),
                    ("choice_b", json!("b")),
                    ("answer_gt", json!("a")),
                ],
            ),
            with(
                &mcq,
                &[
                    ("audio_path", json!(name)),
                    ("question_text", json!("Which?")),
                    ("multi_choice", json!(["a", "b"])),
                    ("answer", json!(0)),
                ],
            ),
            with(&mcq, &[("audio", json!(name)), ("choices", json!([]))]),
        ];
        for row in &shapes {
            assert_eq!(code(&dir, "q.jsonl", &row.to_string()), "bad-path", "{row}");
        }
        let table = format!("file_name,QuestionText,answer\n{name},Which?,dog\n{name},Which?,dog\n");
        assert_eq!(code(&dir, "q.csv", &table), "bad-path", "{name}");
    }
}

fn with(row: &Value, keys: &[(&str, Value)]) -> Value {
    let mut row = row.clone();
    for (key, value) in keys {
        row[*key] = value.clone();
    }
    row
}

/// The code of the only row's rejection.
fn code(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    write_atomic(&path, text.as_bytes()).unwrap();
    let set = read_questions(&path).unwrap();
    assert_eq!((set.questions.len(), set.rejected.len()), (0, 1));
    set.rejected[0].reason.clone()
}
