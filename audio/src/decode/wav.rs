//! WAV files: our own reading of the headers, which are often odd, and the samples through `symphonia`.

use std::path::Path;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use symphonia::default::codecs::PcmDecoder;

use super::compressed::symphonia_error;
use super::limits::check_limits;
use super::mono::{Decoded, Mono};
use super::riff::find_chunks;
use super::wave_format::{self, BadFormat};
use crate::AudioError;

/// Samples per channel that are decoded at a time.
const PACKET_FRAMES: usize = 4096;

/// Decodes the bytes of a WAV file into `mono`.
///
/// # Errors
/// See [`crate::decode_file`].
pub(super) fn decode(path: &Path, bytes: &[u8], mut mono: Mono<'_>) -> Result<Decoded, AudioError> {
    let chunks = find_chunks(path, bytes)?;
    let format = wave_format::parse(chunks.format).map_err(|error| match error {
        BadFormat::Corrupt(detail) => {
            AudioError::Corrupt { path: path.to_owned(), detail: detail.to_owned() }
        }
        BadFormat::Unsupported(detail) => AudioError::Unsupported { path: path.to_owned(), detail },
    })?;
    let frame_bytes = format.sample_bytes * usize::from(format.channels);
    let frames = chunks.data.len() / frame_bytes;
    check_limits(path, format.sample_rate_hz, usize::from(format.channels), frames)?;

    let mut params = AudioCodecParameters::new();
    params.for_codec(format.codec).with_sample_rate(format.sample_rate_hz);
    params.with_channels(Channels::Discrete(format.channels));
    params.with_max_frames_per_packet(PACKET_FRAMES as u64);
    let failed = |error| symphonia_error(path, &error);
    let mut decoder = PcmDecoder::try_new(&params, &AudioDecoderOptions::default()).map_err(failed)?;
    // What is left over by the end is no whole frame: the pad byte, or the last write of a stream.
    for packet in chunks.data[..frames * frame_bytes].chunks(PACKET_FRAMES * frame_bytes) {
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, packet);
        mono.push(&decoder.decode_ref(&packet).map_err(failed)?)?;
    }
    mono.finish()
}
