#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! The path of a clip: a file's bytes become mono samples ([`decode_file`]), samples at the model's rate
//! ([`load`], [`resample`]), and the log-mel spectrogram that the audio encoder reads
//! ([`MelExtractor::log_mel`]). [`load_window`] keeps no more of a recording than a model hears.

mod decode;
mod error;
mod mel;
mod resample;
#[cfg(test)]
mod test_fixture;
mod write;

pub use decode::{Audio, Notes, Recording, decode_file, load, load_window};
pub use error::AudioError;
pub use mel::{LogMel, MelConfig, MelExtractor};
pub use resample::{resample, resampled_len};
pub use write::write_wav;
