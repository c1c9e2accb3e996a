//! JSON Lines are read in parts: memory does not grow with the file.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write;

use idk_common::fs::AtomicFile;
use idk_questions::{ReadOptions, visit_questions};

/// The memory that this process has now, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn forty_megabytes_of_lines_are_read_in_twenty() {
    const ROWS: usize = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("questions.jsonl");
    let mut file = AtomicFile::create(&path).unwrap();
    let question = "Which of these sounds is heard first? ".repeat(8);
    for row in 0..ROWS {
        let clip = format!("\"audio\": \"{row}.wav\"");
        writeln!(file, "{{\"id\": {row}, {clip}, \"question\": \"{question}\", \"answer\": \"a dog\"}}")
            .unwrap();
    }
    file.commit().unwrap();
    assert!(path.metadata().unwrap().len() > 35 << 20);
    let options = ReadOptions { require_audio: false, ..ReadOptions::default() };
    let (before, mut questions, mut most) = (resident_bytes(), 0, 0);
    visit_questions(&path, &options, |row| {
        questions += usize::from(row.is_ok());
        if questions % 1000 == 0 {
            most = most.max(resident_bytes());
        }
    })
    .unwrap();
    assert_eq!(questions, ROWS);
    assert!(most < before + (20 << 20), "{} bytes more", most - before);
}
