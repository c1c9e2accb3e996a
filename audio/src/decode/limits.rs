//! What every header and every sample must keep to, whatever the format.

use std::path::Path;

use idk_common::limits::{MAX_AUDIO_DURATION_S, MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ};

use crate::AudioError;

/// The most samples per channel that are decoded (1 GiB of memory, if all of them are wanted): the limit on the
/// duration alone would allow ten times that at the highest sample rate.
const MAX_SAMPLES: usize = 1 << 28;

/// The largest magnitude of a sample, where full scale is 1.
///
/// No recording comes near it. What does is a float file whose numbers were never scaled down from integers (the model
/// would hear it 90 dB too loud), or damaged; from about 1e16 on, the power spectrum no longer fits into `f32`.
pub(super) const MAX_AMPLITUDE: f64 = 1e4;

/// Refuses a header that no recording has, before memory is taken for its samples.
///
/// `frames` counts samples per channel, as far as they are known.
///
/// # Errors
/// [`AudioError::Unsupported`] for the sample rate or the channels, [`AudioError::TooLong`] for the length.
pub(crate) fn check_limits(
    path: &Path,
    sample_rate_hz: u32,
    channels: usize,
    frames: usize,
) -> Result<(), AudioError> {
    let unsupported = |detail| AudioError::Unsupported { path: path.to_owned(), detail };
    if !(MIN_SAMPLE_RATE_HZ..=MAX_SAMPLE_RATE_HZ).contains(&sample_rate_hz) {
        return Err(unsupported(format!("it has a sample rate of {sample_rate_hz} Hz")));
    }
    if !(1..=usize::from(MAX_CHANNELS)).contains(&channels) {
        return Err(unsupported(format!("it has {channels} channels")));
    }
    let limit = MAX_SAMPLES.min((f64::from(sample_rate_hz) * MAX_AUDIO_DURATION_S) as usize);
    if frames > limit {
        return Err(AudioError::TooLong { path: path.to_owned(), limit: limit as u64, unit: "samples" });
    }
    Ok(())
}
