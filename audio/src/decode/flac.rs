//! The block sizes of a FLAC file's header, which encoders leave open and `symphonia` insists on.

/// Smallest block size that the format allows.
const MIN_BLOCK: u16 = 16;

/// Makes the smallest and the largest block size agree with the first frame: equal where its blocks are of a fixed
/// size, different where they are not (RFC 9639, sections 8.2 and 9.1). Whole headers stay as they are.
///
/// A smallest block of 0 means unknown to libFLAC and ffmpeg; to `symphonia` it is an error.
pub(super) fn repair_block_sizes(bytes: &mut [u8]) {
    let Some(is_fixed) = has_fixed_blocks(bytes) else { return };
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

/// Whether the first frame after the metadata blocks is of a stream with blocks of one size.
fn has_fixed_blocks(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes.strip_prefix(b"fLaC")?;
    loop {
        let (&[kind, a, b, c], body) = rest.split_first_chunk::<4>()?;
        rest = body.get(u32::from_be_bytes([0, a, b, c]) as usize..)?;
        if kind & 0x80 != 0 {
            break;
        }
    }
    match rest {
        [0xff, 0xf8, ..] => Some(true),
        [0xff, 0xf9, ..] => Some(false),
        _ => None,
    }
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
}
