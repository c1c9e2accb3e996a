//! Printing: stdout carries data only; progress and messages go to stderr.

use std::io::{ErrorKind, Write};
use std::path::Path;

use idk_common::CommonError;
use serde::Serialize;

/// Makes every line of a message safe for a terminal; paths and texts in it come from outside.
pub(super) fn multi_line_safe(text: &str) -> String {
    text.lines().map(idk_common::text::terminal_safe).collect::<Vec<_>>().join("\n")
}

/// Prints one line of data on stdout. A closed pipe is not an error: the reader has seen enough.
///
/// # Errors
/// Any other failed write, such as a full disk behind a redirection.
pub(crate) fn print_line(line: &str) -> Result<(), CommonError> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommonError::io("write to", Path::new("stdout"))(error))
        }
        _ => Ok(()),
    }
}

/// Says on stderr what the program is doing.
pub(crate) fn say(line: &str) {
    if cfg!(test) {
        return;
    }
    let _ = writeln!(std::io::stderr(), "{}", multi_line_safe(line));
}

/// Prints a result on stdout: as one JSON object if `json`, else as text.
///
/// # Errors
/// As [`print_line`].
pub(crate) fn print_result(
    json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), CommonError> {
    print_line(&if json { serde_json::to_string(value).unwrap_or_default() } else { text() })
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0, 12, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
