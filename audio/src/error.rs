//! Everything that can go wrong between an audio file and its log-mel spectrogram.

use std::path::PathBuf;

use idk_common::CommonError;
use idk_common::diagnose::{Diagnose, ExitKind};
use idk_common::text::{display_path, terminal_safe};

/// An audio file that cannot be used, and why.
///
/// Every variant about a file names it; [`AudioError::reason`] is a short code for tables of rejected samples.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The file does not exist.
    #[error("audio file `{}` does not exist", display_path(path))]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The path is a directory, a pipe or a device.
    #[error("`{}` is not a regular file", display_path(path))]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file has no bytes, or its header is followed by no samples.
    #[error("audio file `{}` holds no samples", display_path(path))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before the audio that it announces.
    #[error("audio file `{}` is cut off: {}", display_path(path), terminal_safe(detail))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is announced and what is there.
        detail: String,
    },
    /// The file is larger, or decodes to more samples, than this crate accepts.
    #[error("audio file `{}` is too long: more than {limit} {unit}", display_path(path))]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// The clip is too short to give the model one audio token.
    #[error(
        "audio file `{}` is too short: {samples} samples, at least {needed} are needed for one audio token",
        display_path(path)
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Samples at the model's rate.
        samples: usize,
        /// The least number of samples that gives one token.
        needed: usize,
    },
    /// A sample is NaN, infinite or larger than any recording's.
    #[error(
        "audio file `{}`: sample {index} is {value}, where full scale is 1: that is no recording",
        display_path(path)
    )]
    NonFinite {
        /// The file.
        path: PathBuf,
        /// Index of the first such sample.
        index: usize,
        /// The sample.
        value: f32,
    },
    /// The container or codec is not one that this crate decodes.
    #[error("audio file `{}` is not supported: {}", display_path(path), terminal_safe(detail))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What the file seems to be.
        detail: String,
    },
    /// The file is of a known kind but its content is damaged.
    #[error("audio file `{}` is damaged: {}", display_path(path), terminal_safe(detail))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The decoder stopped with a panic, which was caught.
    #[error("the decoder failed on audio file `{}`", display_path(path))]
    DecoderPanic {
        /// The file.
        path: PathBuf,
    },
    /// The settings of the log-mel extractor are absent.
    #[error("`{}`: neither preprocessor_config.json nor processor_config.json is there", display_path(dir))]
    NoConfig {
        /// The model folder.
        dir: PathBuf,
    },
    /// The settings of the log-mel extractor make no sense.
    #[error("`{}`: {}", display_path(path), terminal_safe(detail))]
    Config {
        /// The settings file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Reading a recording or settings, or writing a file, failed for a reason that is not the file's content.
    #[error(transparent)]
    Common(#[from] CommonError),
}

impl AudioError {
    /// Whether the failure is a property of the recording, so that it would fail in the same way everywhere. Such a
    /// recording is rejected; after any other failure (a disk or a network that does not answer, too many open files,
    /// a missing permission) a caller must stop, lest luck decide what a dataset holds.
    #[must_use]
    pub fn is_about_the_file(&self) -> bool {
        !matches!(self, Self::Common(_) | Self::NoConfig { .. } | Self::Config { .. })
    }

    /// A short, stable code for the kind of failure, as written to tables of rejected samples.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing-audio",
            Self::NotAFile { .. } => "audio-not-a-file",
            Self::Empty { .. } => "empty-audio",
            Self::Truncated { .. } => "truncated-audio",
            Self::TooLong { .. } => "audio-too-long",
            Self::TooShort { .. } => "audio-too-short",
            Self::NonFinite { .. } => "non-finite-audio",
            Self::Unsupported { .. } => "unsupported-audio",
            Self::Corrupt { .. } => "corrupt-audio",
            Self::DecoderPanic { .. } => "audio-decoder-panic",
            Self::NoConfig { .. } => "no-mel-config",
            Self::Config { .. } => "bad-mel-config",
            Self::Common(CommonError::Io { .. }) => "unreadable-audio",
            Self::Common(_) => "file-error",
        }
    }
}

impl Diagnose for AudioError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Missing { .. } | Self::NoConfig { .. } => ExitKind::MissingInput,
            Self::Common(error) => error.exit_kind(),
            _ => ExitKind::BadData,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing { .. } => "check the path; audio paths are relative to the file that names them",
            Self::Truncated { .. } => "fetch or copy the file again",
            Self::Unsupported { .. } => {
                "WAV, FLAC, Ogg Vorbis and MP3 are read; convert others: ffmpeg -i IN -ac 1 -ar 16000 OUT.wav"
            }
            Self::TooLong { .. } => "cut the file into shorter clips; the model hears one window (30 s) only",
            Self::TooShort { .. } => "leave the sample out, or pad it with silence",
            Self::NonFinite { .. } => {
                "scale its samples to [-1, 1] (integers in a float file are not), or leave the sample out"
            }
            Self::Corrupt { .. } | Self::DecoderPanic { .. } => {
                "write the file again with another tool, or leave the sample out"
            }
            Self::NoConfig { .. } | Self::Config { .. } => {
                "copy preprocessor_config.json (or processor_config.json) from the model's repository"
            }
            Self::Common(error) => return error.hint(),
            Self::NotAFile { .. } | Self::Empty { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
