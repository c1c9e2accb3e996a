//! The `fmt ` chunk of a WAV file: which samples it has.
//!
//! Layout: `WAVEFORMATEX` and `WAVEFORMATEXTENSIBLE` of Microsoft's mmreg.h. What is redundant (byte rate, block size,
//! size of the extension) is often wrong in the field and not relied on, as libsndfile, SoX and ffmpeg do.

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_PCM_ALAW, CODEC_ID_PCM_F32LE, CODEC_ID_PCM_F64LE, CODEC_ID_PCM_MULAW, CODEC_ID_PCM_S16LE,
    CODEC_ID_PCM_S24LE, CODEC_ID_PCM_S32LE, CODEC_ID_PCM_U8,
};

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;

/// What follows the two bytes of a format tag in the sub-formats that stand for it: the usual ones, Ambisonic B-format.
const TAG_GUIDS: [[u8; 14]; 2] = [
    [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71],
    [0, 0, 0x21, 0x07, 0xd3, 0x11, 0x86, 0x44, 0xc8, 0xc1, 0xca, 0, 0, 0],
];

/// Format tags that are named when they are refused.
const NAMES: [(u16, &str); 16] = [
    (0x0002, "Microsoft ADPCM"),
    (0x0011, "IMA ADPCM"),
    (0x0020, "Yamaha ADPCM"),
    (0x0022, "DSP Group TrueSpeech"),
    (0x0031, "GSM 6.10"),
    (0x0040, "G.721 ADPCM"),
    (0x0042, "G.723.1"),
    (0x0045, "G.726 ADPCM"),
    (0x0050, "MPEG layer I or II"),
    (0x0055, "MP3"),
    (0x0064, "G.726 ADPCM"),
    (0x00ff, "AAC"),
    (0x0160, "WMA"),
    (0x0161, "WMA"),
    (0x1610, "AAC"),
    (0x2000, "AC-3"),
];

/// How the samples of a WAV file are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WaveFormat {
    pub(super) codec: AudioCodecId,
    pub(super) channels: u16,
    pub(super) sample_rate_hz: u32,
    /// Bytes of one sample of one channel. Samples of fewer bits fill it from the top, so its full scale is theirs.
    pub(super) sample_bytes: usize,
}

/// Why a `fmt ` chunk is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadFormat {
    Corrupt(&'static str),
    Unsupported(String),
}

/// Reads the chunk.
///
/// # Errors
/// [`BadFormat`].
pub(super) fn parse(chunk: &[u8]) -> Result<WaveFormat, BadFormat> {
    let short = |at: usize| chunk.get(at..at + 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let (Some(tag), Some(channels), Some(low), Some(high), Some(block_bytes), Some(bits)) =
        (short(0), short(2), short(4), short(6), short(12), short(14))
    else {
        return Err(BadFormat::Corrupt("its fmt chunk is too short"));
    };
    if channels == 0 {
        return Err(BadFormat::Corrupt("its fmt chunk has zero channels"));
    }
    let tag = if tag == EXTENSIBLE { sub_format(chunk, bits)? } else { tag };
    let sample_bytes = sample_bytes(bits, block_bytes / channels, block_bytes % channels == 0);
    let codec = match (tag, sample_bytes) {
        (PCM, 1) => CODEC_ID_PCM_U8,
        (PCM, 2) => CODEC_ID_PCM_S16LE,
        (PCM, 3) => CODEC_ID_PCM_S24LE,
        (PCM, 4) => CODEC_ID_PCM_S32LE,
        (FLOAT, 4) => CODEC_ID_PCM_F32LE,
        (FLOAT, 8) => CODEC_ID_PCM_F64LE,
        (A_LAW, 1) => CODEC_ID_PCM_ALAW,
        (MU_LAW, 1) => CODEC_ID_PCM_MULAW,
        (PCM | FLOAT | A_LAW | MU_LAW, 0) => return Err(BadFormat::Corrupt("its samples have zero bits")),
        (PCM | FLOAT | A_LAW | MU_LAW, _) => {
            return Err(BadFormat::Unsupported(format!("a WAV file of samples of {bits} bits")));
        }
        _ => return Err(BadFormat::Unsupported(describe(tag))),
    };
    let sample_rate_hz = u32::from(high) << 16 | u32::from(low);
    Ok(WaveFormat { codec, channels, sample_rate_hz, sample_bytes })
}

/// The format tag that the sub-format stands for.
fn sub_format(chunk: &[u8], bits: u16) -> Result<u16, BadFormat> {
    match chunk.get(24..40) {
        Some(&[low, high, ref rest @ ..]) if TAG_GUIDS.iter().any(|guid| rest == guid) => {
            Ok(u16::from_le_bytes([low, high]))
        }
        // Left out. Samples of up to 24 bits can only be integers; 32 bits may as well be floats.
        guid if guid.is_none_or(|guid| guid.iter().all(|&byte| byte == 0)) && (1..=24).contains(&bits) => {
            Ok(PCM)
        }
        guid => {
            let hex: String = guid.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
            Err(BadFormat::Unsupported(format!("a WAV file of the unknown sub-format `{hex}`")))
        }
    }
}

/// Bytes of a sample: what its bits need, or the wider container that the block size tells of.
///
/// 24 bits in four bytes are common; of 8 or 16 bits in more, the block size has always been the wrong number.
fn sample_bytes(bits: u16, block_share: u16, whole: bool) -> usize {
    let needed = bits.div_ceil(8);
    let padded = bits > 16 && whole && (needed..=4).contains(&block_share);
    usize::from(if padded { block_share } else { needed })
}

fn describe(tag: u16) -> String {
    match NAMES.iter().find(|(known, _)| *known == tag) {
        Some((_, name)) => format!("a WAV file of {name}"),
        None => format!("a WAV file of an unknown codec (format tag {tag:#06x})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(tag: u16, channels: u16, bits: u16, block_bytes: u16, extension: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::new();
        chunk.extend_from_slice(&tag.to_le_bytes());
        chunk.extend_from_slice(&channels.to_le_bytes());
        chunk.extend_from_slice(&48_000u32.to_le_bytes());
        // A byte rate that nothing may rely on.
        chunk.extend_from_slice(&7u32.to_le_bytes());
        chunk.extend_from_slice(&block_bytes.to_le_bytes());
        chunk.extend_from_slice(&bits.to_le_bytes());
        chunk.extend_from_slice(extension);
        chunk
    }

    /// The extension of `WAVEFORMATEXTENSIBLE`, with a size field that may be wrong.
    fn extension(size: u16, valid_bits: u16, guid: [u8; 16]) -> Vec<u8> {
        [&size.to_le_bytes(), valid_bits.to_le_bytes().as_slice(), &[0; 4], &guid].concat()
    }

    fn guid(tag: u16, kind: usize) -> [u8; 16] {
        let mut guid = [0; 16];
        guid[..2].copy_from_slice(&tag.to_le_bytes());
        guid[2..].copy_from_slice(&TAG_GUIDS[kind]);
        guid
    }

    fn codec(chunk: &[u8]) -> Result<(AudioCodecId, usize), BadFormat> {
        parse(chunk).map(|format| (format.codec, format.sample_bytes))
    }

    #[test]
    fn the_extension_is_read_whatever_its_size_field_and_valid_bits_say() {
        let int16 = Ok((CODEC_ID_PCM_S16LE, 2));
        assert_eq!(codec(&chunk(PCM, 1, 16, 2, &[])), int16);
        assert_eq!(codec(&chunk(PCM, 1, 16, 2, b"\x02\0xx")), int16);
        for (size, valid_bits) in [(22, 16), (22, 12), (22, 0), (22, 99), (0, 16), (40, 16)] {
            for kind in 0..2 {
                let extension = extension(size, valid_bits, guid(PCM, kind));
                assert_eq!(codec(&chunk(EXTENSIBLE, 1, 16, 2, &extension)), int16);
            }
        }
        let float = extension(22, 0, guid(FLOAT, 0));
        assert_eq!(codec(&chunk(EXTENSIBLE, 2, 32, 8, &float)), Ok((CODEC_ID_PCM_F32LE, 4)));
        assert_eq!(codec(&chunk(FLOAT, 1, 64, 8, b"\x02\0xx")), Ok((CODEC_ID_PCM_F64LE, 8)));
    }

    #[test]
    fn a_missing_sub_format_is_integers_only_where_it_can_be_nothing_else() {
        for extension in [vec![], vec![0, 0], extension(22, 16, [0; 16])] {
            assert_eq!(codec(&chunk(EXTENSIBLE, 1, 16, 2, &extension)), Ok((CODEC_ID_PCM_S16LE, 2)));
            assert!(matches!(
                codec(&chunk(EXTENSIBLE, 1, 32, 4, &extension)),
                Err(BadFormat::Unsupported(_))
            ));
        }
        let unknown = codec(&chunk(EXTENSIBLE, 1, 16, 2, &extension(22, 16, [0xab; 16])));
        assert!(matches!(&unknown, Err(BadFormat::Unsupported(why)) if why.contains("abab")), "{unknown:?}");
    }

    #[test]
    fn a_container_is_as_wide_as_its_bits_or_a_believable_block_size_say() {
        for (bits, block_bytes, expected) in [
            (8, 1, CODEC_ID_PCM_U8),
            (12, 2, CODEC_ID_PCM_S16LE),
            (20, 3, CODEC_ID_PCM_S24LE),
            (20, 4, CODEC_ID_PCM_S32LE),
            (24, 3, CODEC_ID_PCM_S24LE),
            (24, 4, CODEC_ID_PCM_S32LE),
            (24, 0, CODEC_ID_PCM_S24LE),
            (24, 6, CODEC_ID_PCM_S24LE),
            (16, 4, CODEC_ID_PCM_S16LE),
            (8, 4, CODEC_ID_PCM_U8),
        ] {
            let found = codec(&chunk(PCM, 1, bits, block_bytes, &[])).unwrap().0;
            assert_eq!(found, expected, "{bits} bits in {block_bytes} bytes");
        }
    }

    #[test]
    fn codecs_that_are_not_read_are_named() {
        for (tag, bits, words) in [
            (2, 4, "Microsoft ADPCM"),
            (0x11, 4, "IMA ADPCM"),
            (0x31, 0, "GSM"),
            (0x55, 0, "MP3"),
            (0x161, 16, "WMA"),
            (0xabcd, 16, "0xabcd"),
            (PCM, 64, "64 bits"),
            (FLOAT, 16, "16 bits"),
        ] {
            let found = codec(&chunk(tag, 1, bits, 0, &[]));
            assert!(matches!(&found, Err(BadFormat::Unsupported(why)) if why.contains(words)), "{found:?}");
        }
        assert!(matches!(codec(&chunk(PCM, 0, 16, 2, &[])), Err(BadFormat::Corrupt(_))));
        assert!(matches!(codec(&chunk(PCM, 1, 0, 0, &[])), Err(BadFormat::Corrupt(_))));
        assert!(matches!(codec(&chunk(PCM, 1, 16, 2, &[])[..14]), Err(BadFormat::Corrupt(_))));
    }
}
