//! What a program does with an error: its exit code and the hint below the message.

/// The exit code of a failed program, by the kind of failure.
///
/// Usage errors share their number with clap; the others are those of BSD's `sysexits.h`, so that a script can tell
/// them apart. 0 is success, 130 and 143 are signals, and 101 only ever means a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// A wrong command line or recipe.
    Usage = 2,
    /// Input that is there but wrong, or files that do not belong together.
    BadData = 65,
    /// Input that is not there.
    MissingInput = 66,
    /// A loss, gradient or weight that is not a finite number.
    Numeric = 70,
    /// A failed read or write.
    Io = 74,
    /// Another process holds the run folder.
    Busy = 75,
    /// Ended by Ctrl-C after its state was saved.
    Interrupted = 130,
    /// Ended by SIGTERM after its state was saved.
    Terminated = 143,
}

impl ExitKind {
    /// The process exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// An error that knows its exit code and, where there is something to do, says what.
///
/// `Display` says what went wrong and where; the reasons below it are in [`std::error::Error::source`], so a program
/// prints the whole chain and then `hint: ...`.
pub trait Diagnose: std::error::Error {
    /// The kind of failure, hence the exit code.
    fn exit_kind(&self) -> ExitKind;

    /// What to do about it, one sentence without a full stop.
    fn hint(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_numbers() {
        let codes = [
            ExitKind::Usage,
            ExitKind::BadData,
            ExitKind::MissingInput,
            ExitKind::Numeric,
            ExitKind::Io,
            ExitKind::Busy,
        ]
        .map(ExitKind::code);
        assert_eq!(codes, [2, 65, 66, 70, 74, 75]);
    }
}
