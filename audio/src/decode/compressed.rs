//! FLAC, Ogg Vorbis and MP3 through `symphonia`, with own checks that the whole stream was there.

use std::io::Cursor;
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::default::formats::{FlacReader, MpaReader, OggReader};

use super::content::Codec;
use super::mono::{Decoded, Mono};
use crate::AudioError;

/// Decodes a compressed stream into `mono`.
///
/// # Errors
/// See [`crate::decode_file`].
pub(super) fn decode(path: &Path, bytes: &[u8], codec: Codec, mono: Mono<'_>) -> Result<Decoded, AudioError> {
    if codec == Codec::Ogg {
        check_ogg_pages(bytes)
            .map_err(|detail| AudioError::Truncated { path: path.to_owned(), detail: detail.to_owned() })?;
    }
    let mut stream = open(bytes, codec).map_err(|error| symphonia_error(path, &error))?;
    decode_stream(path, stream.as_mut(), mono)
}

fn open(bytes: &[u8], codec: Codec) -> Result<Box<dyn FormatReader + '_>, SymphoniaError> {
    let cursor = Cursor::new(bytes);
    let source: Box<dyn MediaSource + '_> = match codec {
        // A seekable MP3 without a frame count gets a guessed one, which would look like a cut-off file.
        Codec::Mp3 => Box::new(ReadOnlySource::new(cursor)),
        _ => Box::new(cursor),
    };
    let stream = MediaSourceStream::new(source, Default::default());
    let options = FormatOptions::default();
    Ok(match codec {
        Codec::Flac => Box::new(FlacReader::try_new(stream, options)?),
        Codec::Ogg => Box::new(OggReader::try_new(stream, options)?),
        Codec::Mp3 => Box::new(MpaReader::try_new(stream, options)?),
        Codec::Wav => return Err(SymphoniaError::Unsupported("WAV has a reader of its own")),
    })
}

/// Decodes all packets of the default track; encoder delay and padding are trimmed where the file tells them.
fn decode_stream(
    path: &Path,
    stream: &mut dyn FormatReader,
    mut mono: Mono<'_>,
) -> Result<Decoded, AudioError> {
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

    while let Some(packet) = stream.next_packet().map_err(failed)? {
        if packet.track_id == track_id {
            mono.push(&decoder.decode(&packet).map_err(failed)?)?;
        }
    }
    // Before the checksum, which a missing end fails as well.
    if let Some(announced) = announced.filter(|&announced| (mono.frames() as u64) < announced) {
        let detail = format!("{} of {announced} samples are there", mono.frames());
        return Err(AudioError::Truncated { path: path.to_owned(), detail });
    }
    if decoder.finalize().verify_ok == Some(false) {
        let detail = "the checksum of the decoded samples does not match".to_owned();
        return Err(AudioError::Corrupt { path: path.to_owned(), detail });
    }
    mono.finish()
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

pub(super) fn symphonia_error(path: &Path, error: &SymphoniaError) -> AudioError {
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
