//! Packed questions take little memory.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use idk_questions::{PackedQuestions, Question};

/// The most memory that this process has had, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_hundred_thousand_questions_with_common_texts_take_twenty_megabytes() {
    const QUESTIONS: usize = 100_000;
    let before = peak_bytes();
    let mut packed = PackedQuestions::default();
    for place in 0..QUESTIONS {
        let mut choices = ["dog", "cat", "rain", "a train that passes"].map(str::to_owned).to_vec();
        choices.rotate_left(place % 4);
        packed.push(&Question {
            id: format!("question-{place:06}"),
            audio: vec![format!("/data/some/set/clips/{:06}.wav", place / 2).into()],
            question: "Which of these sounds is heard first in the recording?".to_owned(),
            choices,
            answer: "rain".to_owned(),
            task: "sound".to_owned(),
            dataset: "some set".to_owned(),
            ..Question::default()
        });
    }
    let grown = peak_bytes() - before;
    assert_eq!((packed.len(), packed.id(QUESTIONS - 1)), (QUESTIONS, "question-099999"));
    assert!(grown < 20 << 20, "{} bytes per question", grown / QUESTIONS as u64);
}
