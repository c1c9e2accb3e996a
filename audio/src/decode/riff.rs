//! The chunks of a WAV file: where its format and its samples are, also where writers left sizes open.

use std::path::Path;

use crate::AudioError;

/// Sizes from here on that the file does not hold were put in place by a writer that could not seek back: the known
/// ones are 0x7FFFF000 (SoX), 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF (ffmpeg) and each of them less a header.
const OPEN_SIZE: u64 = 0x7fff_0000;

/// The two chunks of a RIFF file that hold its audio.
#[derive(Debug, PartialEq)]
pub(super) struct Chunks<'a> {
    pub(super) format: &'a [u8],
    pub(super) data: &'a [u8],
}

/// Walks the chunks up to `data` and compares every announced size with the bytes that are there.
///
/// # Errors
/// [`AudioError::Truncated`], [`AudioError::Unsupported`], [`AudioError::Corrupt`].
pub(super) fn find_chunks<'a>(path: &Path, bytes: &'a [u8]) -> Result<Chunks<'a>, AudioError> {
    let truncated = |detail: String| AudioError::Truncated { path: path.to_owned(), detail };
    match bytes.get(8..12) {
        None => return Err(truncated("it ends inside the RIFF header".to_owned())),
        Some(b"WAVE") => {}
        Some(_) => {
            let detail = "a RIFF file that is not WAVE".to_owned();
            return Err(AudioError::Unsupported { path: path.to_owned(), detail });
        }
    }
    let (mut rest, mut format, mut long_size) = (&bytes[12..], None, None);
    while let Some((id, size, body)) = split_header(rest) {
        if id == *b"data" {
            let size = if size == u64::from(u32::MAX) { long_size.unwrap_or(size) } else { size };
            let data = data(body, size)
                .ok_or_else(|| truncated(format!("{} of {size} bytes of samples are there", body.len())))?;
            let detail = "no fmt chunk before the data chunk".to_owned();
            let format = format.ok_or_else(|| AudioError::Corrupt { path: path.to_owned(), detail })?;
            return Ok(Chunks { format, data });
        }
        let Some(content) = get(body, size) else {
            let name = String::from_utf8_lossy(&id).escape_debug().to_string();
            return Err(truncated(format!("it ends inside its `{name}` chunk")));
        };
        match &id {
            b"fmt " => format = Some(content),
            // RF64: the size of a file beyond 4 GiB.
            b"ds64" => long_size = content.get(8..16).and_then(|s| s.try_into().ok()).map(u64::from_le_bytes),
            _ => {}
        }
        rest = after(body, content.len());
    }
    Err(truncated("it ends before its data chunk".to_owned()))
}

/// The samples, if they are all there.
fn data(body: &[u8], size: u64) -> Option<&[u8]> {
    // Nothing announced, yet bytes that are no chunks: a writer that died or could not seek.
    let is_open = if size == 0 { !is_chunks(body) } else { size >= OPEN_SIZE };
    get(body, size).filter(|data| !data.is_empty() || !is_open).or(is_open.then_some(body))
}

fn get(body: &[u8], size: u64) -> Option<&[u8]> {
    usize::try_from(size).ok().and_then(|size| body.get(..size))
}

/// Name, size and what follows.
fn split_header(bytes: &[u8]) -> Option<([u8; 4], u64, &[u8])> {
    let (&[a, b, c, d, s0, s1, s2, s3], body) = bytes.split_first_chunk::<8>()?;
    Some(([a, b, c, d], u64::from(u32::from_le_bytes([s0, s1, s2, s3])), body))
}

/// What follows a chunk of `size` bytes. An odd chunk has a pad byte, which some writers forget.
fn after(body: &[u8], size: usize) -> &[u8] {
    let named = |from: usize| body.get(from..from + 4).is_some_and(is_name);
    let padded = size + size % 2;
    body.get(if named(size) && !named(padded) { size } else { padded }..).unwrap_or_default()
}

fn is_name(id: &[u8]) -> bool {
    id.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether the bytes are whole chunks, up to their end.
fn is_chunks(mut bytes: &[u8]) -> bool {
    while let Some((id, size, body)) = split_header(bytes) {
        let Some(content) = get(body, size).filter(|_| is_name(&id)) else { return false };
        bytes = after(body, content.len());
    }
    bytes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], size: u32, body: &[u8]) -> Vec<u8> {
        [name.as_slice(), &size.to_le_bytes(), body].concat()
    }

    fn file(riff_size: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
        [b"RIFF".as_slice(), &riff_size.to_le_bytes(), b"WAVE", &chunks.concat()].concat()
    }

    fn found(chunks: &[Vec<u8>]) -> Result<Vec<u8>, &'static str> {
        let format = chunk(b"fmt ", 4, b"form");
        let bytes = file(0, &[&[format], chunks].concat());
        match find_chunks(Path::new("x"), &bytes) {
            Ok(chunks) => {
                assert_eq!(chunks.format, b"form");
                Ok(chunks.data.to_vec())
            }
            Err(error) => Err(error.reason()),
        }
    }

    #[test]
    fn an_open_size_is_read_to_the_end_of_the_file() {
        for size in [0, 0x7fff_0000, 0x7fff_f000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffda, u32::MAX] {
            assert_eq!(found(&[chunk(b"data", size, b"\x01\x02\x03\x04")]), Ok(vec![1, 2, 3, 4]), "{size:x}");
        }
    }

    #[test]
    fn a_size_that_a_whole_file_could_have_is_still_cut_off() {
        for size in [5, 1000, 0x7ffe_ffff] {
            assert_eq!(found(&[chunk(b"data", size, b"\x01\x02\x03\x04")]), Err("truncated-audio"));
        }
    }

    #[test]
    fn a_recording_of_no_samples_before_other_chunks_stays_empty() {
        let list = chunk(b"LIST", 4, b"INFO");
        assert_eq!(found(&[chunk(b"data", 0, b""), list]), Ok(vec![]));
        assert_eq!(found(&[chunk(b"data", 0, b"")]), Ok(vec![]));
    }

    #[test]
    fn odd_chunks_are_skipped_with_and_without_their_pad_byte_and_data_may_be_odd() {
        let data = || chunk(b"data", 3, b"\x01\x02\x03");
        assert_eq!(found(&[chunk(b"LIST", 5, b"INFOx\0"), data()]), Ok(vec![1, 2, 3]));
        assert_eq!(found(&[chunk(b"LIST", 5, b"INFOx"), data()]), Ok(vec![1, 2, 3]));
        assert_eq!(found(&[data(), chunk(b"LIST", 4, b"INFO")]), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn the_size_of_an_rf64_file_is_in_its_first_chunk() {
        let sizes =
            |data: u64| chunk(b"ds64", 28, &[&[0; 8], data.to_le_bytes().as_slice(), &[0; 12]].concat());
        let data = chunk(b"data", u32::MAX, b"\x01\x02\x03\x04LIST\0\0\0\0");
        assert_eq!(found(&[sizes(4), data.clone()]), Ok(vec![1, 2, 3, 4]));
        assert_eq!(found(&[sizes(400), data]), Err("truncated-audio"));
    }

    #[test]
    fn no_data_no_format_and_other_forms_are_told_apart() {
        assert_eq!(found(&[chunk(b"LIST", 4, b"INFO")]), Err("truncated-audio"));
        assert_eq!(found(&[chunk(b"LIST", u32::MAX, b"INFO")]), Err("truncated-audio"));
        let reason = |bytes: &[u8]| find_chunks(Path::new("x"), bytes).unwrap_err().reason();
        assert_eq!(reason(&file(0, &[chunk(b"data", 2, b"ab")])), "corrupt-audio");
        assert_eq!(reason(b"RIFF\0\0\0\0AVI LIST"), "unsupported-audio");
        assert_eq!(reason(b"RIFF\0\0"), "truncated-audio");
    }
}
