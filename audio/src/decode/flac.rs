//! What FLAC files have in the field and `symphonia` does not take: open block sizes, bytes after the last frame.

use std::path::Path;

use super::compressed;
use super::content::Codec;
use super::mono::{Decoded, Mono};
use crate::AudioError;

/// Smallest block size that the format allows.
const MIN_BLOCK: u16 = 16;
/// Fewest bytes of a frame: header, one constant subframe, checksum.
const MIN_FRAME_BYTES: usize = 10;
/// Most bytes of a frame that are looked through for its end; frames of eight channels with 32 bits are shorter.
const MAX_FRAME_BYTES: usize = 4 << 20;
/// Bytes that look like the start of the last frame, of which one is.
const MAX_STARTS: usize = 16;

/// Decodes a FLAC file; `mono` makes a collector, of which a second one is needed if bytes follow the last frame.
///
/// # Errors
/// See [`crate::decode_file`].
pub(super) fn decode<'a>(
    path: &Path,
    bytes: &mut [u8],
    mono: impl Fn() -> Mono<'a>,
) -> Result<Decoded, AudioError> {
    repair_block_sizes(bytes);
    let bytes = &*bytes;
    let decode = |bytes: &[u8]| compressed::decode(path, bytes, Codec::Flac, mono());
    let end = || last_frame_end(bytes).unwrap_or(bytes.len());
    if !announces_length(bytes) {
        // Without a length the decoder would leave the last frame out and not say so.
        return decode(&bytes[..end()]);
    }
    match decode(bytes) {
        Err(AudioError::Truncated { .. }) if end() < bytes.len() => decode(&bytes[..end()]),
        other => other,
    }
}

/// Whether the header has the number of samples (its lower 32 bits; it never has the upper ones alone).
fn announces_length(bytes: &[u8]) -> bool {
    bytes.get(22..26).is_some_and(|total| total != [0; 4])
}

/// Where the last frame ends, by its checksum: the bytes of a frame with their CRC-16 have the CRC 0.
///
/// To the decoder, a tag or a comment behind it would be bytes of the last frame, which then fails its check.
fn last_frame_end(bytes: &[u8]) -> Option<usize> {
    let first = first_frame(bytes)?;
    let is_start = |&at: &usize| {
        let (a, b) = (&bytes[first..first + 4], &bytes[at..at + 4]);
        // Sync code and blocking strategy, sample rate, sample size: the same in all frames. Then a zero bit.
        a[..2] == b[..2] && a[2] & 15 == b[2] & 15 && a[3] & 15 == b[3] & 15
    };
    let mut end = None;
    let starts = (first..bytes.len().checked_sub(3)?).rev().filter(is_start).take(MAX_STARTS);
    for start in starts {
        let (mut crc, mut first_end) = (0, None);
        for (at, &byte) in bytes.iter().enumerate().skip(start).take(MAX_FRAME_BYTES) {
            crc = CRC_TABLE[usize::from(crc >> 8 ^ u16::from(byte))] ^ crc << 8;
            if crc == 0 && first_end.is_none() && at + 1 - start >= MIN_FRAME_BYTES {
                first_end = Some(at + 1);
            }
        }
        if crc == 0 && first_end.is_some() && bytes.len() - start <= MAX_FRAME_BYTES {
            return Some(bytes.len());
        }
        end = end.or(first_end);
    }
    // A checksum may itself end with zeros, with which the CRC was 0 too early. More of them do no harm.
    end.map(|end| end + bytes[end..].iter().take(2).take_while(|&&byte| byte == 0).count())
}

/// CRC-16 of FLAC frames: polynomial x^16 + x^15 + x^2 + 1, most significant bit first (RFC 9639, section 9.3).
const CRC_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut crc, mut bit) = ((index as u16) << 8, 0);
        while bit < 8 {
            crc = crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x8005 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// Makes the smallest and the largest block size agree with the first frame: equal where its blocks are of a fixed
/// size, different where they are not (RFC 9639, sections 8.2 and 9.1). Whole headers stay as they are.
///
/// A smallest block of 0 means unknown to libFLAC and ffmpeg; to `symphonia` it is an error.
fn repair_block_sizes(bytes: &mut [u8]) {
    let Some(first) = first_frame(bytes) else { return };
    let is_fixed = bytes[first + 1] & 1 == 0;
    let Some([a, b, c, d]) = bytes.get_mut(8..12) else { return };
    let (least, most) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
    let new_most = if most < MIN_BLOCK { u16::MAX } else { most };
    let new_least = match is_fixed {
        true => new_most,
        false if (MIN_BLOCK..new_most).contains(&least) => least,
        false => MIN_BLOCK,
    };
    [*a, *b] = new_least.to_be_bytes();
    [*c, *d] = new_most.to_be_bytes();
}

/// Where the frames start: after the metadata blocks, of which the last is marked.
fn first_frame(bytes: &[u8]) -> Option<usize> {
    bytes.strip_prefix(b"fLaC")?;
    let mut at = 4;
    loop {
        let &[kind, a, b, c] = bytes.get(at..)?.first_chunk::<4>()?;
        at += 4 + u32::from_be_bytes([0, a, b, c]) as usize;
        if kind & 0x80 != 0 {
            break;
        }
    }
    // The sync code, of which the last bit tells the blocking strategy.
    matches!(bytes.get(at..at + 4), Some([0xff, 0xf8 | 0xf9, ..])).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(least: u16, most: u16, frame: [u8; 2]) -> (u16, u16) {
        let mut bytes = b"fLaC\x00\x00\x00\x22".to_vec();
        bytes.extend_from_slice(&least.to_be_bytes());
        bytes.extend_from_slice(&most.to_be_bytes());
        bytes.resize(8 + 34, 0);
        bytes.extend_from_slice(b"\x81\x00\x00\x02..");
        bytes.extend_from_slice(&frame);
        bytes.extend_from_slice(b"..");
        let (before, len) = (bytes.clone(), bytes.len());
        repair_block_sizes(&mut bytes);
        assert_eq!(bytes[12..], before[12..len], "nothing else changes");
        (u16::from_be_bytes([bytes[8], bytes[9]]), u16::from_be_bytes([bytes[10], bytes[11]]))
    }

    #[test]
    fn open_block_sizes_follow_the_first_frame_and_whole_ones_stay() {
        let (fixed, variable) = ([0xff, 0xf8], [0xff, 0xf9]);
        assert_eq!(repaired(0, 4096, fixed), (4096, 4096));
        assert_eq!(repaired(4096, 4096, fixed), (4096, 4096));
        assert_eq!(repaired(4096, 0, fixed), (65535, 65535));
        assert_eq!(repaired(0, 0, fixed), (65535, 65535));
        assert_eq!(repaired(0, 4096, variable), (16, 4096));
        assert_eq!(repaired(4096, 4096, variable), (16, 4096));
        assert_eq!(repaired(576, 4608, variable), (576, 4608));
        assert_eq!(repaired(0, 4096, [0, 0]), (0, 4096), "no frame to go by");
    }
    #[test]
    fn the_checksum_is_that_of_the_catalogue_of_crcs() {
        // CRC-16/UMTS: the check value of "123456789".
        let crc = b"123456789"
            .iter()
            .fold(0u16, |crc, &byte| CRC_TABLE[usize::from(crc >> 8 ^ u16::from(byte))] ^ crc << 8);
        assert_eq!(crc, 0xfee8);
    }
}
