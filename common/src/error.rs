//! The error of this crate. Every variant names the file.

use std::io;
use std::path::{Path, PathBuf};

use crate::diagnose::{Diagnose, ExitKind};
use crate::text::{display_path, terminal_safe};

/// What can go wrong with files, locks and manifests.
#[derive(Debug, thiserror::Error)]
pub enum CommonError {
    /// A file or folder that should be read is not there.
    #[error("`{}` does not exist", display_path(path))]
    NotFound {
        /// The missing file or folder.
        path: PathBuf,
    },
    /// A directory, pipe or device where a regular file is needed.
    #[error("`{}` is not a regular file", display_path(path))]
    NotAFile {
        /// What is in the way.
        path: PathBuf,
    },
    /// The operating system refused an operation; the reason is the source.
    #[error("cannot {doing} `{}`", display_path(path))]
    Io {
        /// The file or folder that was worked on.
        path: PathBuf,
        /// The operation as a verb: `read`, `write`, `sync`, `replace`, ...
        doing: &'static str,
        /// The reason, as the operating system gives it.
        source: io::Error,
    },
    /// A file or folder above one of [`crate::limits`].
    #[error("`{}` is too large: {found} {unit}, at most {limit} are read", display_path(path))]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
        /// Its size, in `unit`.
        found: u64,
        /// The limit, in `unit`.
        limit: u64,
        /// What is counted: `bytes`, `files`, `folder levels`.
        unit: &'static str,
    },
    /// A text file or a file name that is not UTF-8.
    #[error("`{}` is not UTF-8 (first bad byte at {byte})", display_path(path))]
    NotUtf8 {
        /// The file, or the file whose name it is.
        path: PathBuf,
        /// Offset in bytes of the first byte that is not UTF-8.
        byte: usize,
    },
    /// Text that is not the JSON that was expected.
    #[error("`{}`, line {line}, column {column}: {}", display_path(path), terminal_safe(message))]
    Json {
        /// The JSON or JSON Lines file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// Column in that line, from 1 (0 where the parser gives none).
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// A value that has no JSON form, such as a map whose keys are not strings.
    #[error("the content of `{}` cannot be written as JSON", display_path(path))]
    Encode {
        /// The file that was to be written.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// A file or folder where the program is to write, and which it did not write.
    #[error("`{}` already exists, and this program did not write it", display_path(path))]
    NotOurs {
        /// What is in the way.
        path: PathBuf,
    },
    /// A folder that looks like a run, and does not say that this program made it.
    #[error(
        "`{}` has a recipe.toml and no identity.json: an earlier version of this program made it, or another program",
        display_path(path)
    )]
    UnknownRun {
        /// The run folder.
        path: PathBuf,
    },
    /// Another process holds the folder's lock.
    #[error(
        "`{}` is in use by another process{}",
        display_path(path),
        holder_pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Busy {
        /// The run folder.
        path: PathBuf,
        /// Who holds it, where that could be read.
        holder_pid: Option<u32>,
    },
    /// A file that is not the one that its manifest lists.
    #[error(
        "`{}` is not the file in its manifest: {what} is {found}, listed is {expected}",
        display_path(path)
    )]
    Mismatch {
        /// The file that differs.
        path: PathBuf,
        /// What differs: `size in bytes` or `sha256`.
        what: &'static str,
        /// The manifest's value.
        expected: String,
        /// The file's value.
        found: String,
    },
    /// A file name that is absolute, has `..`, or leads out of its folder through a link.
    #[error("`{}` leads out of `{}`", terminal_safe(name), display_path(root))]
    OutsideFolder {
        /// The folder that it must stay in.
        root: PathBuf,
        /// The name as it was given.
        name: String,
    },
}

impl CommonError {
    /// For `map_err`: wraps an I/O error with the path and the verb that says what was tried.
    ///
    /// A missing file stays [`Self::Io`] here; the readers of [`crate::fs`] turn it into [`Self::NotFound`].
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, doing, source }
    }

    /// For `map_err` of whatever reads: like [`Self::io`], but a missing file is [`Self::NotFound`].
    pub fn reading(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            _ => Self::Io { path, doing, source },
        }
    }
}

impl Diagnose for CommonError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::NotFound { .. } => ExitKind::MissingInput,
            Self::Io { .. } => ExitKind::Io,
            Self::Busy { .. } => ExitKind::Busy,
            Self::NotOurs { .. } | Self::UnknownRun { .. } => ExitKind::Usage,
            Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::NotUtf8 { .. }
            | Self::Json { .. }
            | Self::Encode { .. }
            | Self::Mismatch { .. }
            | Self::OutsideFolder { .. } => ExitKind::BadData,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFound { .. } => {
                "check the path; a relative path starts at the folder where the program was started"
            }
            Self::NotAFile { path } if path.is_dir() => "it is a folder: name a file in it",
            Self::NotAFile { .. } => "name a regular file, or move what is in the way",
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space on that disk and run the same command again; nothing half-written was left"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "check the permissions of the file and of its folder"
                }
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    "a file is where a folder is needed: name another folder, or move the file away"
                }
                io::ErrorKind::FileTooLarge => {
                    "files may not grow that large here: look at `ulimit -f`, then run the same command again"
                }
                _ => return None,
            },
            Self::TooLarge { .. } => "split it, if it is really meant to be this large",
            Self::NotUtf8 { .. } => "save it as UTF-8",
            Self::Json { .. } => "correct the file at that place",
            Self::Encode { .. } => return None,
            Self::NotOurs { .. } => "choose another output folder, or move what is in the way",
            Self::UnknownRun { .. } => {
                "choose another folder with `--set output.dir=DIR`, or move this one aside: `idk-train` and `idk-build` do \
                 with `--fresh`"
            }
            Self::Busy { .. } => "wait for the other process, or choose another output folder",
            Self::Mismatch { .. } => "the file was changed or damaged: restore it, or make the folder again",
            Self::OutsideFolder { .. } => "use a path relative to that folder, without `..`",
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_exits_with_74_names_the_file_and_says_what_to_do() {
        let source = io::Error::from_raw_os_error(28); // ENOSPC
        let error = CommonError::io("write", Path::new("runs/a/samples.jsonl"))(source);
        assert_eq!(error.to_string(), "cannot write `runs/a/samples.jsonl`");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("No space left"));
        assert_eq!(error.exit_kind().code(), 74);
        assert!(error.hint().unwrap().contains("free some space"));
        let source = io::Error::from_raw_os_error(27); // EFBIG
        let error = CommonError::io("write", Path::new("samples.jsonl"))(source);
        assert!(error.hint().unwrap().contains("ulimit -f"));
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let path = PathBuf::from("x");
        let code = |error: CommonError| error.exit_kind().code();
        let missing = CommonError::reading("read", &path)(io::ErrorKind::NotFound.into());
        assert_eq!(code(missing), 66);
        let denied = CommonError::reading("read", &path)(io::ErrorKind::PermissionDenied.into());
        assert_eq!(code(denied), 74);
        assert_eq!(code(CommonError::Busy { path: path.clone(), holder_pid: None }), 75);
        assert_eq!(code(CommonError::NotAFile { path }), 65);
    }

    #[test]
    fn paths_and_parser_messages_cannot_reach_the_terminal_raw() {
        let error = CommonError::Json {
            path: PathBuf::from("a\u{1b}[2J.json"),
            line: 3,
            column: 7,
            message: "unknown field `\u{1b}]52;c;eA==\u{7}`".to_owned(),
        };
        let shown = error.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(shown.contains("line 3, column 7"), "{shown}");
    }

    #[test]
    fn the_holder_of_a_lock_is_named_where_it_is_known() {
        let path = PathBuf::from("runs/a");
        let known = CommonError::Busy { path: path.clone(), holder_pid: Some(12) };
        assert_eq!(known.to_string(), "`runs/a` is in use by another process (pid 12)");
        let unknown = CommonError::Busy { path, holder_pid: None };
        assert_eq!(unknown.to_string(), "`runs/a` is in use by another process");
    }
}
