//! Frame headers of MPEG audio and of AAC in ADTS: where a stream starts, what it is, whether another one follows.
//!
//! Sources: ISO/IEC 11172-3 and 13818-3 (layers I to III), 13818-7 (ADTS). The decoding itself is `symphonia`'s.

/// Bytes before the first frame in which it is looked for (zeros not counted): padding, a damaged tag, a cover.
const MAX_LEADING_BYTES: usize = 1 << 18;
/// Frames in a row that make a stream, so that chance does not.
const FRAMES_IN_A_ROW: usize = 3;

/// Bit rates in kbit/s by their index: MPEG-1 layers I, II, III, then MPEG-2 layer I and the other two.
const BIT_RATES: [[usize; 15]; 5] = [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
const SAMPLE_RATES_HZ: [usize; 3] = [44_100, 48_000, 32_000];

/// What the frames hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Mp3,
    Layer1,
    Layer2,
    Aac,
}

/// One frame's header.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    bytes: usize,
    /// The bits that all frames of a stream share: version, layer, sample rate.
    stream: [u8; 2],
    /// Where a Xing or Info header would stand.
    info_at: usize,
}

/// Where the first frame is, and of what kind: at once, or after bytes that belong to no frame.
pub(super) fn find(bytes: &[u8]) -> Option<(usize, Kind)> {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    (zeros..bytes.len().min(zeros + MAX_LEADING_BYTES)).find_map(|at| Some((at, stream(&bytes[at..])?)))
}

/// The kind of the stream that starts here: some frames in a row, or all that there are, if they are whole.
fn stream(bytes: &[u8]) -> Option<Kind> {
    let first = frame(bytes)?;
    let mut rest = bytes.get(first.bytes..)?;
    for _ in 1..FRAMES_IN_A_ROW {
        if rest.is_empty() {
            break;
        }
        let next = frame(rest).filter(|next| next.stream == first.stream)?;
        rest = rest.get(next.bytes..)?;
    }
    Some(first.kind)
}

/// Whether several MP3 files stand one after the other: a tag or a header in the middle tells.
pub(super) fn is_joined(mut bytes: &[u8]) -> bool {
    let mut first = true;
    while let Some(next) = frame(bytes).filter(|next| next.kind == Kind::Mp3) {
        let info = bytes.get(next.info_at..next.info_at + 4);
        if !first && matches!(info, Some(b"Xing" | b"Info")) {
            return true;
        }
        first = false;
        bytes = bytes.get(next.bytes..).unwrap_or_default();
    }
    let rest = if bytes.starts_with(b"TAG") { bytes.get(128..).unwrap_or_default() } else { bytes };
    let after_tag = super::content::skip_id3(rest);
    (after_tag.len() < bytes.len()) && stream(after_tag) == Some(Kind::Mp3)
}

fn frame(bytes: &[u8]) -> Option<Frame> {
    let &[0xff, second, third, fourth, ..] = bytes else { return None };
    if second & 0xf6 == 0xf0 {
        return adts_frame(bytes);
    }
    let (is_mpeg1, halvings) = match second >> 3 & 3 {
        _ if second & 0xe0 != 0xe0 => return None,
        3 => (true, 0),
        2 => (false, 1),
        0 => (false, 2),
        _ => return None,
    };
    let (kind, rates) = match (second >> 1 & 3, is_mpeg1) {
        (3, true) => (Kind::Layer1, 0),
        (2, true) => (Kind::Layer2, 1),
        (1, true) => (Kind::Mp3, 2),
        (3, false) => (Kind::Layer1, 3),
        (2, false) => (Kind::Layer2, 4),
        (1, false) => (Kind::Mp3, 4),
        _ => return None,
    };
    let bit_rate = BIT_RATES[rates].get(usize::from(third >> 4)).filter(|&&rate| rate > 0)? * 1000;
    let sample_rate_hz = SAMPLE_RATES_HZ.get(usize::from(third >> 2 & 3))? >> halvings;
    let padding = usize::from(third >> 1 & 1);
    let bytes = match kind {
        Kind::Layer1 => (12 * bit_rate / sample_rate_hz + padding) * 4,
        Kind::Mp3 if !is_mpeg1 => 72 * bit_rate / sample_rate_hz + padding,
        _ => 144 * bit_rate / sample_rate_hz + padding,
    };
    let is_mono = fourth >> 6 == 3;
    let side_info_bytes = match (is_mpeg1, is_mono) {
        (true, false) => 32,
        (false, true) => 9,
        _ => 17,
    };
    Some(Frame { kind, bytes, stream: [second & 0xfe, third & 0x0c], info_at: 4 + side_info_bytes })
}

fn adts_frame(bytes: &[u8]) -> Option<Frame> {
    let &[_, second, third, a, b, c, _, ..] = bytes else { return None };
    let frame_bytes = usize::from(a & 3) << 11 | usize::from(b) << 3 | usize::from(c >> 5);
    // At least its header; sample rates from index 13 on are reserved.
    (frame_bytes >= 7 && third >> 2 & 15 < 13).then_some(Frame {
        kind: Kind::Aac,
        bytes: frame_bytes,
        stream: [second & 0xfe, third & 0xfc],
        info_at: usize::MAX - 4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Empty frames of a header, `count` times.
    fn frames(header: [u8; 4], bytes: usize, count: usize) -> Vec<u8> {
        let mut frame = header.to_vec();
        frame.resize(bytes, 0x55);
        frame.repeat(count)
    }

    #[test]
    fn frames_have_the_lengths_of_the_standards_formulas() {
        // 128 kbit/s at 44.1 kHz: 144 * 128000 / 44100 = 417.9.
        for (header, kind, bytes) in [
            ([0xff, 0xfb, 0x90, 0x00], Kind::Mp3, 417),
            ([0xff, 0xfb, 0x92, 0x00], Kind::Mp3, 418),
            // MPEG-2, 16 kHz, 64 kbit/s: 72 * 64000 / 16000.
            ([0xff, 0xf3, 0x88, 0xc0], Kind::Mp3, 288),
            // MPEG-2.5, 8 kHz, 8 kbit/s: 72 * 8000 / 8000.
            ([0xff, 0xe3, 0x18, 0xc0], Kind::Mp3, 72),
            // Layer II, 192 kbit/s at 48 kHz: 144 * 192000 / 48000.
            ([0xff, 0xfd, 0xa4, 0x00], Kind::Layer2, 576),
            // Layer I, 384 kbit/s at 44.1 kHz: (12 * 384000 / 44100) * 4.
            ([0xff, 0xff, 0xc0, 0x00], Kind::Layer1, 416),
        ] {
            let found = frame(&header).unwrap();
            assert_eq!((found.kind, found.bytes), (kind, bytes), "{header:x?}");
        }
        for header in
            [[0xff, 0xfb, 0xf0, 0], [0xff, 0xfb, 0x9c, 0], [0xff, 0xeb, 0x90, 0], [0xff, 0x1b, 0x90, 0]]
        {
            assert!(frame(&header).is_none(), "{header:x?}");
        }
    }

    #[test]
    fn a_stream_is_found_after_bytes_of_no_frame_and_not_in_noise() {
        let stream = frames([0xff, 0xfb, 0x90, 0x00], 417, 4);
        let noise: Vec<u8> = (0..5_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for lead in [&[][..], &[0; 100_000], b"\xff\xfb\x90\x00 not a frame", &noise] {
            assert_eq!(find(&[lead, &stream].concat()), Some((lead.len(), Kind::Mp3)));
        }
        assert_eq!(find(&noise), None);
        assert_eq!(find(&stream[..416]), None, "not one whole frame");
        let far = vec![0x55; MAX_LEADING_BYTES];
        assert_eq!(find(&[far, stream].concat()), None);
    }

    #[test]
    fn a_second_header_or_tag_tells_of_a_second_file() {
        let plain = frames([0xff, 0xfb, 0x90, 0x00], 417, 3);
        let mut headed = plain.clone();
        headed[36..40].copy_from_slice(b"Xing");
        assert!(!is_joined(&plain) && !is_joined(&headed));
        assert!(!is_joined(&[&plain[..], b"TAG", &[0; 125]].concat()));
        assert!(is_joined(&[&headed[..], &headed].concat()));
        assert!(is_joined(&[&plain[..], b"TAG", &[0; 125], &plain].concat()));
        assert!(is_joined(&[&plain[..], b"ID3\x03\0\0\0\0\0\x02xx", &plain].concat()));
    }
}
