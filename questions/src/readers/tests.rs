//! What holds for every shape; the rows are in the shape of MMAU.

use std::os::unix::fs::symlink;

use idk_common::CommonError;
use idk_common::limits::{MAX_CLIPS, MAX_FIELD_CHARS, MAX_ROW_BYTES};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::question::AnswerMatch;
use crate::question::write_questions;

const WITHOUT_AUDIO: ReadOptions = ReadOptions {
    require_audio: false,
    duplicate_choices: DuplicateChoices::Reject,
    min_annotators: 2,
    refusal_option: RefusalOption::Keep,
};

fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    idk_common::fs::write_atomic(&dir.path().join("audio/a.wav"), b"RIFF").unwrap();
    dir
}

fn row(id: &str) -> Value {
    json!({"id": id, "audio_id": "./audio/a.wav", "question": "Which?", "choices": ["dog", "cat"], "answer": "cat",
        "dataset": "d", "task": "sound", "split": "test", "category": "Reasoning", "sub-category": "Animals",
        "difficulty": "easy"})
}

fn with(id: &str, key: &str, value: Value) -> Value {
    let mut row = row(id);
    row[key] = value;
    row
}

fn open_with(id: &str, key: &str, value: Value) -> Value {
    let mut row = with(id, "choices", json!([]));
    row[key] = value;
    row
}

fn read(dir: &TempDir, rows: &Value, options: ReadOptions) -> QuestionSet {
    let path = dir.path().join("questions.json");
    idk_common::json::write_json(&path, rows).unwrap();
    read_questions_with(&path, &options).unwrap()
}

/// Reads one row; the code of its rejection, or `""`.
fn verdict_on(row: &Value) -> String {
    let set = read(&folder(), &json!([row]), ReadOptions::default());
    assert_eq!(set.questions.len() + set.rejected.len(), 1);
    set.rejected.first().map(|rejection| rejection.reason.clone()).unwrap_or_default()
}

#[test]
fn a_row_becomes_a_question_and_unknown_keys_are_kept() {
    let dir = folder();
    let set = read(&dir, &json!([with("q1", "idk", json!({"snr_db": 3.5}))]), ReadOptions::default());
    let question = &set.questions[0];
    assert_eq!(question.audio, [dir.path().join("audio/a.wav")]);
    assert_eq!(question.answer_index(), Some(1));
    let fields = [&question.task, &question.category, &question.sub_category, &question.difficulty];
    assert_eq!(fields, ["sound", "Reasoning", "Animals", "easy"]);
    assert_eq!(Value::Object(question.extra.clone()), json!({"idk": {"snr_db": 3.5}}));
}

#[test]
fn what_is_written_is_read_back_the_same() {
    let dir = folder();
    let rows = json!([
        with("q1", "idk", json!([1, 2])),
        with("q2", "choices", json!([])),
        with("q3", "audio_id", json!(["audio/a.wav", "audio/a.wav"])),
        open_with("q4", "aliases", json!(["kitty", "9"])),
        open_with("q5", "answer_match", json!("exact"))
    ]);
    let questions = read(&dir, &rows, ReadOptions::default()).questions;
    assert_eq!(questions.len(), 5);
    assert_eq!(questions[3].aliases, ["kitty", "9"]);
    assert_eq!(questions[4].answer_match, AnswerMatch::Exact);
    for name in ["again.json", "again.jsonl"] {
        let path = dir.path().join(name);
        write_questions(&path, &questions).unwrap();
        let again = read_questions(&path).unwrap();
        assert_eq!((again.questions, again.rejected), (questions.clone(), Vec::new()));
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let error = write_questions(&elsewhere.path().join("q.json"), &questions).unwrap_err();
    assert!(matches!(error, QuestionError::AudioOutside { .. }), "{error}");
}

#[test]
fn variants_of_the_layout_are_read() {
    let dir = folder();
    let mut other_names = row("q4");
    let fields = other_names.as_object_mut().unwrap();
    let task = fields.shift_remove("task").unwrap();
    fields.insert("modality".to_owned(), task);
    let rows = json!([
        with("q1", "category", json!(["Reasoning"])),
        with("q2", "choices", json!("[\"dog\", \"cat\"]")),
        with("q3", "choices", json!(["(A) dog", "(B) cat"])),
        other_names,
        with("q5", "answer", json!("Cat. ")),
    ]);
    let set = read(&dir, &rows, ReadOptions::default());
    assert_eq!(set.rejected, []);
    for question in &set.questions {
        assert_eq!((question.category.as_str(), question.task.as_str()), ("Reasoning", "sound"));
        assert_eq!(question.choices, ["dog", "cat"]);
        assert_eq!(question.answer, "cat");
    }
}

#[test]
fn every_kind_of_bad_row_has_its_code() {
    let cases = [
        ("", row("q")),
        ("not-an-object", json!(7)),
        ("missing-field", with("", "split", json!("x"))),
        ("missing-field", with("q", "question", json!(""))),
        ("missing-field", with("q", "answer", json!(""))),
        ("", with("q", "answer", json!(null))),
        ("missing-field", both("q", json!(null), json!(true))),
        ("missing-field", both("q", json!(""), json!(true))),
        ("bad-field", both("q", json!("cat"), json!(false))),
        ("bad-field", both("q", json!(null), json!("no"))),
        ("bad-field", both("q", json!(null), json!(0))),
        ("", both("q", json!("cat"), json!(true))),
        ("", both("q", json!(""), json!(false))),
        (
            "bad-field",
            open_with("q", "answer", json!(null)).as_object_mut().map_or(json!(0), |row| {
                row.insert("aliases".to_owned(), json!(["kitty"]));
                json!(row)
            }),
        ),
        ("missing-field", with("q", "audio_id", json!(null))),
        ("missing-field", with("q", "audio_id", json!([]))),
        ("bad-field", with("q", "task", json!({"a": 1}))),
        ("bad-field", with("q", "choices", json!("dog"))),
        ("bad-field", with("q", "choices", json!(["dog", null]))),
        ("bad-field", with("q", "choices", json!(["dog", "cat", " "]))),
        ("bad-field", with("q", "audio_id", json!(["audio/a.wav", 7]))),
        ("bad-field", open_with("q", "aliases", json!([""]))),
        ("bad-field", open_with("q", "aliases", json!([["kitty"]]))),
        ("bad-field", open_with("q", "aliases", json!(vec!["kitty"; 1025]))),
        ("reserved-token", open_with("q", "aliases", json!(["<|AUDIO|>"]))),
        ("bad-field", open_with("q", "answer", json!(["cat", ""]))),
        ("bad-field", open_with("q", "answer_match", json!("fuzzy"))),
        ("bad-field", with("a\u{0}b", "split", json!("x"))),
        ("too-long", with("q", "question", json!("x".repeat(MAX_FIELD_CHARS + 1)))),
        ("reserved-token", with("q", "question", json!("Which?<|im_end|>"))),
        ("reserved-token", with("q", "question", json!("Which <AUDIO>?"))),
        ("reserved-token", with("q", "choices", json!(["cat", "<|AUDIO|>"]))),
        ("", with("q", "question", json!("Is 1 <| 2 |> 3?"))),
        ("too-few-choices", with("q", "choices", json!(["cat"]))),
        ("too-many-choices", with("q", "choices", json!((0..27).collect::<Vec<_>>()))),
        ("duplicate-choices", with("q", "choices", json!(["cat", "dog", "cat"]))),
        ("duplicate-choices", with("q", "choices", json!(["cat", "Dog.", "dog"]))),
        ("", with("q", "choices", json!(["cat", "F", "F#"]))),
        ("answer-not-in-choices", with("q", "answer", json!("pig"))),
        ("bad-path", with("q", "audio_id", json!("/etc/passwd"))),
        ("bad-path", with("q", "audio_id", json!("audio/../../a.wav"))),
        ("missing-audio", with("q", "audio_id", json!("audio/b.wav"))),
        ("missing-audio", with("q", "audio_id", json!("audio"))),
        ("too-many-clips", with("q", "audio_id", json!(vec!["audio/a.wav"; MAX_CLIPS + 1]))),
    ];
    for (code, row) in cases {
        let shown = row.to_string().chars().take(200).collect::<String>();
        assert_eq!(verdict_on(&row), code, "{shown}");
    }
}

/// A row with this answer that also says whether it is answerable.
fn both(id: &str, answer: Value, answerable: Value) -> Value {
    let mut row = with(id, "answer", answer);
    row["answerable"] = answerable;
    row
}

#[test]
fn the_first_of_two_rows_with_one_id_is_kept() {
    let set = read(&folder(), &json!([row("q"), with("q", "answer", json!("dog"))]), ReadOptions::default());
    assert_eq!(set.questions[0].answer, "cat");
    let rejection = &set.rejected[0];
    assert_eq!((rejection.id.as_str(), rejection.line, rejection.reason.as_str()), ("q", 2, "duplicate-id"));
}

#[test]
fn links_may_not_lead_out_of_the_folder() {
    let (dir, outside) = (folder(), folder());
    symlink(outside.path().join("audio"), dir.path().join("out")).unwrap();
    symlink(outside.path().join("nothing.wav"), dir.path().join("dangling.wav")).unwrap();
    symlink("audio", dir.path().join("in")).unwrap();
    for require_audio in [true, false] {
        let code = |name: &str| {
            let set = read(
                &dir,
                &json!([with("q", "audio_id", json!(name))]),
                ReadOptions { require_audio, ..ReadOptions::default() },
            );
            set.rejected.first().map(|rejection| rejection.reason.clone())
        };
        assert_eq!(code("in/a.wav"), None);
        assert_eq!(code("out/a.wav").as_deref(), Some("bad-path"));
        assert_eq!(
            code("out/b.wav").as_deref(),
            Some(if require_audio { "missing-audio" } else { "bad-path" })
        );
        assert_eq!(
            code("dangling.wav").as_deref(),
            Some(if require_audio { "missing-audio" } else { "bad-path" })
        );
        assert_eq!(code("../a.wav").as_deref(), Some("bad-path"));
    }
}

#[test]
fn clips_may_be_missing_where_they_are_not_needed() {
    let rows = json!([with("q", "audio_id", json!("./nowhere/b.wav"))]);
    let dir = folder();
    let set = read(&dir, &rows, WITHOUT_AUDIO);
    assert_eq!(set.questions[0].audio, [dir.path().join("nowhere/b.wav")]);
}

#[test]
fn a_file_that_is_no_question_set_is_an_error_with_its_line() {
    let dir = folder();
    let path = dir.path().join("q.jsonl");
    let good = row("q").to_string();
    let line = |text: String| {
        idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
        match read_questions(&path).unwrap_err() {
            QuestionError::NotASet { line, .. } | QuestionError::Common(CommonError::Json { line, .. }) => {
                line
            }
            other => panic!("{other}"),
        }
    };
    assert_eq!(line("{\n  \"id\": \"q\"\n}\n".to_owned()), 1, "an object over several lines");
    assert_eq!(line(format!("[\n{good},\n{good}\n")), 4);
    assert_eq!(line("\n\nno questions here\n".to_owned()), 3);
    assert_eq!(line(String::new()), 1);
    let missing = read_questions(&dir.path().join("none.json")).unwrap_err();
    assert!(matches!(missing, QuestionError::Common(CommonError::NotFound { .. })));
}

#[test]
fn lines_are_counted_with_the_blank_ones() {
    let dir = folder();
    let path = dir.path().join("q.jsonl");
    let text = format!("{}\n\n{}\r\n", row("q1"), with("q2", "answer", json!("pig")));
    idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
    let set = read_questions(&path).unwrap();
    assert_eq!((set.questions.len(), set.rejected[0].line), (1, 3));
}

#[test]
fn a_file_of_no_known_shape_is_an_error_that_says_what_each_shape_needs() {
    let dir = folder();
    let path = dir.path().join("q.jsonl");
    let error = |text: &str| {
        idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
        read_questions(&path).unwrap_err()
    };
    let rows = error("\n{\"audio_id\": \"a.wav\", \"prompt\": \"Which?\", \"choices\": []}\n");
    assert!(
        matches!(&rows, QuestionError::UnknownShape { line: 2, found, .. } if found.len() == 3),
        "{rows}"
    );
    let message = rows.to_string();
    for part in [
        "`audio_id`, `prompt`, `choices`",
        "MMAU also has `question`, `answer`",
        "MMAR also has `audio_path`, `modality`, `question`, `answer`",
        "MMSU / AIR-Bench also has `path` or `audio_path`, `question`, `choice_a`, `answer_gt`",
        "AVQA / R1-AQA also has `audio_path` or `video_name`, `question_text`, `multi_choice`, `answer`",
        "generic also has `question`, `answer`",
        "Clotho-AQA (csv) also has `file_name`, `QuestionText` or `question`, `answer`",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let table = error("\n\nid,Question\n1,Which?\n");
    assert!(matches!(&table, QuestionError::UnknownShape { line: 3, .. }), "{table}");
    assert!(table.to_string().contains("Clotho-AQA (csv) also has `file_name`, `answer`"), "{table}");
}

#[test]
fn a_file_without_rows_is_an_empty_set() {
    let dir = folder();
    assert_eq!(read(&dir, &json!([]), ReadOptions::default()), QuestionSet::default());
}

#[test]
fn one_bad_first_row_does_not_hide_the_shape_of_the_others() {
    let dir = folder();
    let set = read(&dir, &json!([{"note": "made by hand"}, 7, row("q")]), ReadOptions::default());
    let reasons: Vec<&str> = set.rejected.iter().map(|rejection| rejection.reason.as_str()).collect();
    assert_eq!((set.questions.len(), reasons), (1, vec!["missing-field", "not-an-object"]));
}

#[test]
fn a_line_that_is_no_json_is_its_own_rejection() {
    let dir = folder();
    let path = dir.path().join("q.jsonl");
    let surrogate = row("q3").to_string().replace("Which?", "\\ud800");
    let text = format!("{}\n{{\"id\": \"q2\",\n{surrogate}\n\n{}\n{{\"id\":", row("q1"), row("q4"));
    idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
    let set = read_questions(&path).unwrap();
    let ids: Vec<&str> = set.questions.iter().map(|question| question.id.as_str()).collect();
    assert_eq!(ids, ["q1", "q4"]);
    let rejected: Vec<(usize, &str)> =
        set.rejected.iter().map(|rejection| (rejection.line, rejection.reason.as_str())).collect();
    assert_eq!(rejected, [(2, "not-json"), (3, "not-json"), (6, "not-json")]);
    assert!(set.rejected[0].detail.starts_with("column "), "{}", set.rejected[0].detail);
}

#[test]
fn numbers_that_are_not_finite_stop_nothing_in_keys_that_are_not_read() {
    let dir = folder();
    let good = row("q1").to_string();
    let odd = |id: &str, key: &str| {
        row(id).to_string().replacen('{', &format!("{{\"{key}\": NaN, \"b\": [-Infinity, 1e400], "), 1)
    };
    for (name, text) in [
        ("q.json", format!("[{good}, {}, {}]", odd("q2", "duration"), odd("q3", "Infinity"))),
        ("q.jsonl", format!("{good}\n{}\n{}\n", odd("q2", "duration"), odd("q3", "Infinity"))),
    ] {
        let path = dir.path().join(name);
        idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
        let set = read_questions(&path).unwrap();
        assert_eq!((set.questions.len(), set.rejected), (3, Vec::new()), "{name}");
        assert_eq!(set.questions[1].extra["duration"], Value::Null);
    }
    let read_key = row("q").to_string().replacen("\"Which?\"", "NaN", 1);
    let path = dir.path().join("q.json");
    idk_common::fs::write_atomic(&path, format!("[{read_key}]").as_bytes()).unwrap();
    assert_eq!(read_questions(&path).unwrap().rejected[0].reason, "missing-field");
}

#[test]
fn an_array_with_an_error_between_its_rows_is_an_error_with_its_line() {
    let dir = folder();
    let path = dir.path().join("q.json");
    for (text, expected) in [("[{\"a\": NaN},\n{\"a\": x}]", 1), ("[{},\n{} {}]", 2), ("[{}]\n]", 2)] {
        idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
        let error = read_questions(&path).unwrap_err();
        let line =
            matches!(&error, QuestionError::Common(CommonError::Json { line, .. }) if *line == expected);
        assert!(line, "{text}: {error}");
    }
}

#[test]
fn a_huge_row_and_too_many_rows_are_refused_before_they_fill_the_memory() {
    let dir = folder();
    let path = dir.path().join("q.json");
    let zeros = "0,".repeat(MAX_ROW_BYTES / 2);
    let text = format!("[[{zeros}0], {}]", row("q"));
    idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
    let set = read_questions(&path).unwrap();
    assert_eq!((set.questions.len(), set.rejected[0].reason.as_str()), (1, "too-long"));
    let text = format!("[{}0]", "0,".repeat(MAX_QUESTIONS));
    idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
    let error = read_questions(&path).unwrap_err();
    assert!(matches!(error, QuestionError::TooMany { found, .. } if found == MAX_QUESTIONS + 1), "{error}");
}

#[test]
fn a_set_in_the_hub_cache_is_a_folder_of_links_and_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("datasets--a--b");
    let snapshot = repository.join("snapshots/0");
    idk_common::fs::write_atomic(&repository.join("blobs/a"), b"RIFF").unwrap();
    idk_common::fs::write_atomic(&dir.path().join("secret"), b"RIFF").unwrap();
    let rows = json!([row("q1"), with("q2", "audio_id", json!("audio/out.wav"))]);
    idk_common::json::write_json(&repository.join("blobs/b"), &rows).unwrap();
    idk_common::fs::create_dir_all(&snapshot.join("audio")).unwrap();
    symlink("../../blobs/b", snapshot.join("questions.json")).unwrap();
    symlink("../../../blobs/a", snapshot.join("audio/a.wav")).unwrap();
    symlink("../../../../secret", snapshot.join("audio/out.wav")).unwrap();
    let set = read_questions(&snapshot.join("questions.json")).unwrap();
    assert_eq!(set.questions[0].audio, [snapshot.join("audio/a.wav")]);
    let rejected: Vec<&str> = set.rejected.iter().map(|rejection| rejection.reason.as_str()).collect();
    assert_eq!(rejected, ["bad-path"], "a link out of the repository");
}

#[test]
fn pointers_of_git_lfs_are_named() {
    let dir = folder();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 8044\n";
    idk_common::fs::write_atomic(&dir.path().join("audio/a.wav"), pointer).unwrap();
    let set = read(&dir, &json!([row("q")]), ReadOptions::default());
    assert_eq!(set.rejected[0].reason, "missing-audio");
    assert!(set.rejected[0].detail.contains("git lfs pull"), "{}", set.rejected[0].detail);
    let path = dir.path().join("pointer.json");
    idk_common::fs::write_atomic(&path, pointer).unwrap();
    let error = read_questions(&path).unwrap_err();
    assert!(matches!(error, QuestionError::LfsPointer { .. }), "{error}");
}

#[test]
fn a_clip_is_found_in_either_unicode_form_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    idk_common::fs::write_atomic(&dir.path().join(format!("{decomposed}/{composed}.wav")), b"RIFF").unwrap();
    for (folder, file) in [(composed, composed), (composed, decomposed), (decomposed, composed)] {
        let set = read(
            &dir,
            &json!([with("q", "audio_id", json!(format!("{folder}/{file}.wav")))]),
            ReadOptions::default(),
        );
        assert_eq!(set.rejected, []);
        assert_eq!(set.questions[0].audio, [dir.path().join(format!("{decomposed}/{composed}.wav"))]);
    }
}
