//! Odd headers, other codecs, bytes before and after the stream: values as other programs read them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use serde::Deserialize;
use support::{data_bytes, decode_bytes, float_wav, reason, sine};
use tempfile::TempDir;

/// A row of `cases.json`, which `make_cases.py` makes.
#[derive(Deserialize)]
struct Case {
    name: String,
    /// In hexadecimal.
    bytes: String,
    #[serde(default)]
    samples: Vec<f64>,
    /// The word that must name it, where it is not read.
    unsupported: Option<String>,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let digits = |at| u8::from_str_radix(&self.bytes[at..at + 2], 16).unwrap();
        (0..self.bytes.len()).step_by(2).map(digits).collect()
    }
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&data_bytes("cases.json")).unwrap()
}

#[test]
fn odd_recordings_have_the_samples_that_other_programs_read() {
    let dir = TempDir::new().unwrap();
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| case.unsupported.is_none()) {
        assert!(case.samples.iter().any(|sample| sample.abs() > 0.1), "{}", case.name);
        match decode_bytes(&dir, &case.bytes()) {
            Err(error) => wrong.push(format!("{}: {error}", case.name)),
            Ok(audio) => {
                assert_eq!(audio.sample_rate_hz, 16_000, "{}", case.name);
                let pairs = || audio.samples.iter().map(|&sample| f64::from(sample)).zip(&case.samples);
                let error = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                if audio.samples.len() != case.samples.len() || error > 6e-8 {
                    wrong.push(format!("{}: {} samples, off by {error}", case.name, audio.samples.len()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_codec_that_is_not_read_is_named_and_never_called_damaged() {
    let dir = TempDir::new().unwrap();
    for case in cases() {
        let Some(word) = &case.unsupported else { continue };
        let error = decode_bytes(&dir, &case.bytes()).unwrap_err();
        assert_eq!(error.reason(), "unsupported-audio", "{}: {error}", case.name);
        assert!(error.to_string().contains(word), "{}: {error}", case.name);
    }
}

#[test]
fn a_codec_is_named_behind_a_tag_and_behind_padding_too() {
    let dir = TempDir::new().unwrap();
    let tag = [b"ID3\x04\x00\x00\x00\x00\x00\x20".as_slice(), &[0; 32]].concat();
    for case in cases().iter().filter(|case| case.name.ends_with(".aac") || case.name.ends_with(".mp2")) {
        for lead in [&tag[..], &[0; 700], &[&tag[..], &[0; 700]].concat()] {
            let error = decode_bytes(&dir, &[lead, &case.bytes()].concat()).unwrap_err();
            assert!(error.to_string().contains(case.unsupported.as_ref().unwrap()), "{error}");
        }
    }
}

#[test]
fn bytes_before_the_first_mp3_frame_change_nothing() {
    let dir = TempDir::new().unwrap();
    let mp3 = data_bytes("tone.mp3");
    let plain = decode_bytes(&dir, &mp3).unwrap();
    let tag = [b"ID3\x03\x00\x00\x00\x00\x00\x7f".as_slice(), &[b'x'; 127]].concat();
    for lead in [
        &[0u8; 1][..],
        &[0; 16],
        &[0; 1_000],
        &[0; 300_000],
        &tag,
        &[&tag[..], &[0; 68]].concat(),
        &[&tag[..], b"\xff", &[0; 5]].concat(),
        // A tag whose size is too small: the rest of its picture follows.
        &[&tag[..], &picture()].concat(),
        b"APETAGEX\xd0\x07\0\0",
    ] {
        assert_eq!(decode_bytes(&dir, &[lead, &mp3].concat()).unwrap(), plain, "{} bytes", lead.len());
    }
}

/// A FLAC file with other block sizes in its header.
fn with_block_sizes(least: u16, most: u16) -> Vec<u8> {
    let mut bytes = data_bytes("tone.flac");
    bytes[8..10].copy_from_slice(&least.to_be_bytes());
    bytes[10..12].copy_from_slice(&most.to_be_bytes());
    bytes
}

#[test]
fn a_flac_file_of_unknown_block_sizes_is_read() {
    let dir = TempDir::new().unwrap();
    let plain = decode_bytes(&dir, &data_bytes("tone.flac")).unwrap();
    for (least, most) in [(0, 4096), (1, 4096), (16, 4096), (0, 0)] {
        assert_eq!(decode_bytes(&dir, &with_block_sizes(least, most)).unwrap(), plain, "{least}, {most}");
    }
    let cut = with_block_sizes(0, 4096);
    assert_eq!(reason(&dir, &cut[..cut.len() - 100]), "truncated-audio");
}

#[test]
fn tags_after_the_end_change_nothing_and_do_not_hide_a_missing_end() {
    let dir = TempDir::new().unwrap();
    let id3v1 = [b"TAG".as_slice(), &[b' '; 125]].concat();
    // An item that looks like the start of an MP3 frame, then the footer: 2000, 40 bytes, one item.
    let mut ape = b"\xff\xfb\x90\x64item".to_vec();
    ape.extend_from_slice(b"APETAGEX\xd0\x07\0\0\x28\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let zeros = vec![0; 1_000];
    for name in ["tone.flac", "tone.mp3", "tone.ogg"] {
        let bytes = data_bytes(name);
        let plain = decode_bytes(&dir, &bytes).unwrap();
        for tags in [&id3v1[..], &ape, &[&ape[..], &id3v1].concat(), &zeros, b"\0", b"a comment", &picture()]
        {
            let tagged = decode_bytes(&dir, &[&bytes[..], tags].concat());
            assert_eq!(tagged.unwrap_or_else(|error| panic!("{name}: {error}")), plain, "{name}");
            let cut = reason(&dir, &[&bytes[..bytes.len() - 300], tags].concat());
            // A page that other bytes fill up is damaged rather than cut off.
            let filled = name == "tone.ogg" && tags.len() > 300;
            assert_eq!(cut, if filled { "corrupt-audio" } else { "truncated-audio" }, "{name}");
        }
    }
}

/// A FLAC file that does not announce its length or its checksum, as one that was written to a pipe.
fn flac_of_a_pipe() -> Vec<u8> {
    let mut bytes = data_bytes("tone.flac");
    bytes[21] &= 0xf0;
    bytes[22..42].fill(0);
    bytes
}

#[test]
fn a_flac_file_of_unknown_length_keeps_its_last_frame_whatever_follows() {
    let dir = TempDir::new().unwrap();
    let plain = decode_bytes(&dir, &data_bytes("tone.flac")).unwrap();
    for tags in [&b""[..], b"\0", b"a comment", &picture(), b"TAG and more than nothing"] {
        assert_eq!(decode_bytes(&dir, &[&flac_of_a_pipe()[..], tags].concat()).unwrap(), plain);
    }
}

/// Bytes of no pattern.
fn picture() -> Vec<u8> {
    (0..3_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

#[test]
fn samples_beyond_any_recording_are_refused_with_their_index_whatever_the_mean_of_the_channels() {
    let dir = TempDir::new().unwrap();
    for bad in [1.1e4, 1e20, -1e30, 3e38, f32::NAN, f32::INFINITY] {
        let mut samples = sine(500);
        samples[123] = bad;
        let error = decode_bytes(&dir, &float_wav(&samples, 1)).unwrap_err();
        assert_eq!(error.reason(), "non-finite-audio", "{error}");
        assert!(error.to_string().contains("sample 123"), "{error}");
        let cancelling: Vec<f32> = samples.iter().flat_map(|&sample| [sample, -sample]).collect();
        assert_eq!(reason(&dir, &float_wav(&cancelling, 2)), "non-finite-audio");
    }
    let loud: Vec<f32> = sine(500).iter().map(|sample| sample * 1.9e4).collect();
    assert_eq!(reason(&dir, &float_wav(&loud, 1)), "decoded", "up to 9500");
}
