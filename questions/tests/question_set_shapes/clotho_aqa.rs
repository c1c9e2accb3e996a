//! Clotho-AQA: a table with a row per annotator.

use idk_questions::{ReadOptions, Verdict, judge, read_questions};
use serde_json::json;

use crate::{clip, folder, rejections, table};

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
