//! Decoding, resampling and Whisper log-mel features.
//!
//! The path of a clip: a file's bytes become mono samples ([`decode_file`]), samples at the model's rate
//! ([`load`], [`resample`]), and the log-mel spectrogram that the audio encoder reads
//! ([`MelExtractor::log_mel`]).

mod compressed;
mod decode;
mod error;
mod mel;
mod mel_config;
mod mel_filters;
mod resample;
#[cfg(test)]
mod test_fixture;
mod wav;

pub use decode::{Audio, decode_file, decode_hashed, load, load_hashed};
pub use error::AudioError;
pub use mel::{LogMel, MelExtractor};
pub use mel_config::MelConfig;
pub use resample::{resample, resampled_len};
pub use wav::write_wav;
