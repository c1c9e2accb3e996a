//! What a file is, by its bytes: the decoder that reads it, or the name of what is not read.

use super::mpeg::{self, Kind};

/// What a decoder exists for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Wav,
    Flac,
    Ogg,
    Mp3,
}

/// Bytes at the start of files that are named when they are refused.
const NAMES: [(&[u8], &str); 13] = [
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a WMA (ASF) file"),
    (b"FORM", "an AIFF file"),
    (b"RIFX", "a big-endian WAV file"),
    (b"riff\x2e\x91\xcf\x11", "a Wave64 file"),
    (b".snd", "an AU file"),
    (b"caff", "a Core Audio (CAF) file"),
    (b"#!AMR", "an AMR file"),
    (b"\x0b\x77", "an AC-3 file"),
    (b"MThd", "a MIDI file"),
    (b"MAC ", "a Monkey's Audio file"),
    (b"wvpk", "a WavPack file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the audio (run git lfs pull)"),
];

/// First packets of Ogg streams that are named when they are refused.
const OGG_NAMES: [(&[u8], &str); 4] = [
    (b"OpusHead", "an Opus file"),
    (b"Speex   ", "a Speex file"),
    (b"\x80theora", "an Ogg file with video"),
    (b"fishead\0", "an Ogg file of several tracks"),
];

/// The codec of a file's bytes and where its stream starts.
///
/// # Errors
/// The name of what is not read.
pub(super) fn recognise(bytes: &[u8]) -> Result<(usize, Codec), String> {
    let body = skip_id3(bytes);
    let start = bytes.len() - body.len();
    let codec = match body {
        // The last two are the first with room for sizes of 64 bits.
        _ if [b"RIFF", b"RF64", b"BW64"].iter().any(|magic| body.starts_with(*magic)) => Codec::Wav,
        [b'f', b'L', b'a', b'C', ..] => Codec::Flac,
        [b'O', b'g', b'g', b'S', ..] => match ogg_name(body) {
            None => Codec::Ogg,
            Some(name) => return Err(name.to_owned()),
        },
        // The 11 sync bits of an MPEG audio frame, then the version, then layer III.
        [0xff, second, ..] if second & 0xe6 == 0xe2 => Codec::Mp3,
        _ => match known_name(body) {
            Some(name) => return Err(name.to_owned()),
            None => return mpeg_stream(body).map(|at| (start + at, Codec::Mp3)),
        },
    };
    Ok((start, codec))
}

/// Where an MP3 stream starts.
fn mpeg_stream(body: &[u8]) -> Result<usize, String> {
    let name = match mpeg::find(body) {
        Some((at, Kind::Mp3)) => return Ok(at),
        Some((_, Kind::Layer1)) => "an MPEG audio layer I file",
        Some((_, Kind::Layer2)) => "an MPEG audio layer II file",
        Some((_, Kind::Aac)) => "an AAC (ADTS) file",
        None if body.iter().take(512).all(|byte| matches!(byte, 9 | 10 | 13 | 32..=126)) => {
            "text, not audio (a failed download?)"
        }
        None => "its content is of no known audio format",
    };
    Err(name.to_owned())
}

fn known_name(body: &[u8]) -> Option<&'static str> {
    if body.get(4..8) == Some(b"ftyp") {
        return Some("an MP4 (M4A, AAC) file");
    }
    NAMES.iter().find(|(magic, _)| body.starts_with(magic)).map(|(_, name)| *name)
}

fn ogg_name(body: &[u8]) -> Option<&'static str> {
    let segments = usize::from(*body.get(26)?);
    let packet = body.get(27 + segments..)?;
    OGG_NAMES.iter().find(|(magic, _)| packet.starts_with(magic)).map(|(_, name)| *name)
}

/// The bytes after leading ID3v2 tags (MP3 writers put them first, some FLAC writers too).
pub(super) fn skip_id3(mut bytes: &[u8]) -> &[u8] {
    while let [b'I', b'D', b'3', _, _, flags, a, b, c, d, rest @ ..] = bytes {
        // The size is "synchsafe": seven bits a byte. A footer repeats the ten bytes of the header.
        let size = [a, b, c, d].iter().fold(0usize, |size, &&byte| size << 7 | usize::from(byte & 0x7f));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        bytes = rest.get(size + footer..).unwrap_or_default();
    }
    bytes
}

/// The bytes before the tags that taggers put at the end: ID3v1, APEv2, Lyrics3.
///
/// A picture in them may look like another MP3 frame.
pub(super) fn before_tags(mut bytes: &[u8]) -> &[u8] {
    while let Some(end) = tag_start(bytes) {
        bytes = &bytes[..end];
    }
    bytes
}

/// Where the last tag starts, if the bytes end with one.
fn tag_start(bytes: &[u8]) -> Option<usize> {
    let from_end = |back: usize| bytes.len().checked_sub(back);
    let at =
        |back: usize, magic: &[u8]| from_end(back).is_some_and(|start| bytes[start..].starts_with(magic));
    if at(128, b"TAG") {
        return from_end(128);
    }
    if at(32, b"APETAGEX") {
        let footer = &bytes[from_end(32)?..];
        let size = u32::from_le_bytes(*footer[12..].first_chunk()?) as usize;
        let has_header = footer[23] & 0x80 != 0;
        return from_end(size.max(32) + if has_header { 32 } else { 0 });
    }
    if at(9, b"LYRICS200") {
        let digits = std::str::from_utf8(&bytes[from_end(15)?..from_end(9)?]).ok()?;
        return from_end(digits.parse::<usize>().ok()? + 15);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_at_the_end_are_left_out_one_after_the_other() {
        let id3v1 = [b"TAG".as_slice(), &[0; 125]].concat();
        // Version 2000, 40 bytes (8 of an item and the footer), one item, with a header of 32 bytes more.
        let ape = |flags: u32| {
            let mut footer = b"APETAGEX".to_vec();
            for number in [2000, 40, 1, flags, 0, 0] {
                footer.extend_from_slice(&u32::to_le_bytes(number));
            }
            [&[b'h'; 32][..if flags == 0 { 0 } else { 32 }], b"an item.", &footer].concat()
        };
        let lyrics = b"LYRICSBEGINabc000014LYRICS200".to_vec();
        for tags in [
            &[][..],
            &id3v1,
            &ape(0),
            &ape(0x8000_0000),
            &lyrics,
            &[ape(0), lyrics.clone(), id3v1.clone()].concat(),
        ] {
            assert_eq!(before_tags(&[b"stream", tags].concat()), b"stream");
        }
        // A size that is larger than the file.
        let broken = [&ape(0)[20..], b""].concat();
        assert_eq!(before_tags(&broken), broken);
    }

    #[test]
    fn what_an_ogg_file_holds_is_told_by_its_first_packet() {
        let ogg = |packet: &[u8]| [b"OggS".as_slice(), &[0; 22], &[1, 30], packet].concat();
        assert_eq!(recognise(&ogg(b"\x01vorbis")), Ok((0, Codec::Ogg)));
        assert_eq!(recognise(&ogg(b"\x7fFLAC")), Ok((0, Codec::Ogg)));
        assert!(recognise(&ogg(b"OpusHead")).unwrap_err().contains("Opus"));
        assert!(recognise(&ogg(b"Speex   ")).unwrap_err().contains("Speex"));
    }
}
