//! Decoding, resampling and Whisper log-mel features.
//!
//! The path of a clip: a file's bytes become mono samples ([`decode_file`]), samples at the model's rate
//! ([`load`], [`resample`]), and the log-mel spectrogram that the audio encoder reads
//! ([`MelExtractor::log_mel`]).

mod decode;
mod error;
mod mel;
mod resample;
#[cfg(test)]
mod test_fixture;

pub use decode::{Audio, decode_file, decode_hashed, load, load_hashed, write_wav};
pub use error::AudioError;
pub use mel::{LogMel, MelConfig, MelExtractor};
pub use resample::{resample, resampled_len};
