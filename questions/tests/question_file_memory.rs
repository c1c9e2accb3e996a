//! A question file is parsed row by row: memory stays near the size of the file.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use idk_questions::{QuestionError, read_questions};

/// The most memory that this process has had, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_file_of_zeros_takes_a_few_times_its_size() {
    const BYTES: usize = 4 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zeros.json");
    let text = format!("[{}0]", "0,".repeat(BYTES / 2));
    idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
    drop(text);
    let before = peak_bytes();
    let error = read_questions(&path).unwrap_err();
    assert!(matches!(error, QuestionError::TooMany { .. }), "{error}");
    let grown = peak_bytes() - before;
    assert!(grown < 40 << 20, "{grown} bytes");
}
