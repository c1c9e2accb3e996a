//! FLAC, Ogg Vorbis and MP3 through `symphonia`, with own checks that the whole stream was there.

use std::io::Cursor;
use std::path::Path;

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::default::formats::{FlacReader, MpaReader, OggReader};

use super::limits::check_limits;
use crate::{Audio, AudioError};

/// The container, as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Flac,
    Ogg,
    Mp3,
}

/// Decodes a compressed file and averages its channels.
///
/// # Errors
/// See [`crate::decode_file`].
pub(crate) fn decode(path: &Path, bytes: &[u8], codec: Codec) -> Result<Audio, AudioError> {
    if codec == Codec::Ogg {
        check_ogg_pages(bytes)
            .map_err(|detail| AudioError::Truncated { path: path.to_owned(), detail: detail.to_owned() })?;
    }
    let mut stream = open(bytes, codec).map_err(|error| symphonia_error(path, &error))?;
    decode_stream(path, stream.as_mut())
}

fn open(bytes: &[u8], codec: Codec) -> Result<Box<dyn FormatReader + '_>, SymphoniaError> {
    let cursor = Cursor::new(bytes);
    let source: Box<dyn MediaSource + '_> = match codec {
        Codec::Flac | Codec::Ogg => Box::new(cursor),
        // A seekable MP3 without a frame count gets a guessed one, which would look like a cut-off file.
        Codec::Mp3 => Box::new(ReadOnlySource::new(cursor)),
    };
    let stream = MediaSourceStream::new(source, Default::default());
    let options = FormatOptions::default();
    Ok(match codec {
        Codec::Flac => Box::new(FlacReader::try_new(stream, options)?),
        Codec::Ogg => Box::new(OggReader::try_new(stream, options)?),
        Codec::Mp3 => Box::new(MpaReader::try_new(stream, options)?),
    })
}

/// Decodes all packets of the default track; encoder delay and padding are trimmed where the file tells them.
fn decode_stream(path: &Path, stream: &mut dyn FormatReader) -> Result<Audio, AudioError> {
    let unsupported =
        |detail: &str| AudioError::Unsupported { path: path.to_owned(), detail: detail.to_owned() };
    let failed = |error: SymphoniaError| symphonia_error(path, &error);
    let track = stream.default_track(TrackType::Audio).ok_or_else(|| unsupported("it has no audio track"))?;
    let announced = track.num_frames;
    let (track_id, params) = (track.id, track.codec_params.as_ref().and_then(|params| params.audio()));
    let params = params.ok_or_else(|| unsupported("the codec of its audio track is unknown"))?;
    let options = AudioDecoderOptions::default().verify(true);
    let mut decoder =
        symphonia::default::get_codecs().make_audio_decoder(params, &options).map_err(failed)?;

    let mut audio = Audio { samples: Vec::new(), sample_rate_hz: params.sample_rate.unwrap_or(0) };
    let mut interleaved: Vec<f32> = Vec::new();
    while let Some(packet) = stream.next_packet().map_err(failed)? {
        if packet.track_id != track_id {
            continue;
        }
        let decoded = decoder.decode(&packet).map_err(failed)?;
        append_mean(path, &mut audio, &decoded, &mut interleaved)?;
    }
    // Before the checksum, which a missing end fails as well.
    if let Some(announced) = announced.filter(|&announced| (audio.samples.len() as u64) < announced) {
        let detail = format!("{} of {announced} samples are there", audio.samples.len());
        return Err(AudioError::Truncated { path: path.to_owned(), detail });
    }
    if decoder.finalize().verify_ok == Some(false) {
        let detail = "the checksum of the decoded samples does not match".to_owned();
        return Err(AudioError::Corrupt { path: path.to_owned(), detail });
    }
    Ok(audio)
}

/// Appends one packet, channels averaged; `interleaved` is scratch.
fn append_mean(
    path: &Path,
    audio: &mut Audio,
    decoded: &GenericAudioBufferRef<'_>,
    interleaved: &mut Vec<f32>,
) -> Result<(), AudioError> {
    if decoded.frames() == 0 {
        return Ok(());
    }
    if audio.samples.is_empty() {
        audio.sample_rate_hz = decoded.spec().rate();
    } else if audio.sample_rate_hz != decoded.spec().rate() {
        let detail = "its sample rate changes inside the file".to_owned();
        return Err(AudioError::Unsupported { path: path.to_owned(), detail });
    }
    let channels = decoded.num_planes();
    check_limits(path, audio.sample_rate_hz, channels, audio.samples.len() + decoded.frames())?;
    decoded.copy_to_vec_interleaved(interleaved);
    let mean = |frame: &[f32]| (frame.iter().map(|&s| f64::from(s)).sum::<f64>() / channels as f64) as f32;
    audio.samples.extend(interleaved.chunks_exact(channels).map(mean));
    Ok(())
}

/// Walks the pages of an Ogg file (RFC 3533): the last page must be whole and carry the end-of-stream flag.
///
/// Without this a file cut between two pages would pass as a shorter recording.
fn check_ogg_pages(mut bytes: &[u8]) -> Result<(), &'static str> {
    const END_OF_STREAM: u8 = 0x04;
    let mut ended = false;
    while bytes.starts_with(b"OggS") {
        let (Some(&flags), Some(&segments)) = (bytes.get(5), bytes.get(26)) else {
            return Err("it ends inside an Ogg page header");
        };
        let header_bytes = 27 + usize::from(segments);
        let Some(lacing) = bytes.get(27..header_bytes) else {
            return Err("it ends inside an Ogg page header");
        };
        let body_bytes: usize = lacing.iter().map(|&size| usize::from(size)).sum();
        let Some(rest) = bytes.get(header_bytes + body_bytes..) else {
            return Err("it ends inside an Ogg page");
        };
        ended = flags & END_OF_STREAM != 0;
        bytes = rest;
    }
    if ended { Ok(()) } else { Err("its last Ogg page is missing") }
}

fn symphonia_error(path: &Path, error: &SymphoniaError) -> AudioError {
    let path = path.to_owned();
    match error {
        // The bytes are in memory, so the only input error is their end.
        SymphoniaError::IoError(_) => {
            AudioError::Truncated { path, detail: "the stream ends early".to_owned() }
        }
        SymphoniaError::Unsupported(detail) => AudioError::Unsupported { path, detail: (*detail).to_owned() },
        SymphoniaError::ResetRequired => {
            AudioError::Unsupported { path, detail: "several streams one after the other".to_owned() }
        }
        other => AudioError::Corrupt { path, detail: other.to_string() },
    }
}
