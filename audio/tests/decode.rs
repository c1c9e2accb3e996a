//! Decoding: every supported format against the signal that was written, and every way of being bad.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::f64::consts::PI;
use std::path::PathBuf;

use hound::{SampleFormat, WavSpec, WavWriter};
use idk_audio::{AudioError, decode_file, load, write_wav};
use idk_common::diagnose::{Diagnose, ExitKind};
use support::{data, decode_bytes, reason};
use tempfile::TempDir;

const TONE_LEN: usize = 8_000;

/// The signal of `tests/data`, before rounding to 16 bits.
fn tone() -> Vec<f64> {
    let at = |i: usize| {
        let envelope = (PI * i as f64 / TONE_LEN as f64).sin();
        0.5 * (2.0 * PI * 440.0 * i as f64 / 16_000.0).sin() * envelope
    };
    (0..TONE_LEN).map(at).collect()
}

fn worst(samples: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(samples.len(), expected.len());
    samples.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max)
}

/// Writes interleaved full-scale fractions with hound and returns the path.
fn wav(dir: &TempDir, spec: WavSpec, interleaved: &[f64]) -> PathBuf {
    let path =
        dir.path().join(format!("{}-{:?}-{}.wav", spec.bits_per_sample, spec.sample_format, spec.channels));
    let mut writer = WavWriter::create(&path, spec).unwrap();
    for &x in interleaved {
        match spec.sample_format {
            SampleFormat::Float => writer.write_sample(x as f32).unwrap(),
            SampleFormat::Int => {
                let full_scale = 2f64.powi(i32::from(spec.bits_per_sample) - 1);
                writer.write_sample((x * (full_scale - 1.0)).round() as i32).unwrap();
            }
        }
    }
    writer.finalize().unwrap();
    path
}

fn spec(bits_per_sample: u16, sample_format: SampleFormat, channels: u16) -> WavSpec {
    WavSpec { channels, sample_rate: 16_000, bits_per_sample, sample_format }
}

/// A 16-bit mono WAV file of the tone, as bytes: 44 bytes of header, then the samples.
fn wav_bytes() -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    std::fs::read(wav(&dir, spec(16, SampleFormat::Int, 1), &tone())).unwrap()
}

#[test]
fn every_wav_sample_width_gives_the_written_signal_within_its_rounding() {
    let dir = TempDir::new().unwrap();
    for (bits, format) in [
        (8, SampleFormat::Int),
        (16, SampleFormat::Int),
        (24, SampleFormat::Int),
        (32, SampleFormat::Int),
        (32, SampleFormat::Float),
    ] {
        let audio = decode_file(&wav(&dir, spec(bits, format, 1), &tone())).unwrap();
        assert_eq!(audio.sample_rate_hz, 16_000);
        assert!((audio.duration_s() - 0.5).abs() < 1e-12);
        // Half a step of rounding, and the step between the two conventions of full scale.
        let tolerance = (1.0 / 2f64.powi(i32::from(bits) - 1)).max(6e-8);
        assert!(worst(&audio.samples, &tone()) <= tolerance, "{bits} {format:?}");
    }
}

#[test]
fn channels_are_averaged() {
    let dir = TempDir::new().unwrap();
    let interleaved: Vec<f64> = tone().iter().flat_map(|&x| [x, 0.0, -0.5 * x]).collect();
    let expected: Vec<f64> = tone().iter().map(|x| x / 6.0).collect();
    for (bits, format) in [(16, SampleFormat::Int), (32, SampleFormat::Float)] {
        let audio = decode_file(&wav(&dir, spec(bits, format, 3), &interleaved)).unwrap();
        assert!(worst(&audio.samples, &expected) < 5e-5);
    }
}

#[test]
fn flac_gives_the_exact_sixteen_bit_samples() {
    let audio = decode_file(&data("tone.flac")).unwrap();
    let expected: Vec<f64> = tone().iter().map(|x| (x * 32767.0).round() / 32768.0).collect();
    assert_eq!((audio.sample_rate_hz, worst(&audio.samples, &expected)), (16_000, 0.0));
}

#[test]
fn lossy_codecs_give_the_signal_at_its_place_and_of_its_length() {
    for name in ["tone.ogg", "tone.mp3"] {
        let audio = decode_file(&data(name)).unwrap();
        assert_eq!(audio.sample_rate_hz, 16_000, "{name}");
        assert_eq!(audio.samples.len(), TONE_LEN, "{name}: encoder delay and padding are trimmed");
        // A shift by one sample would differ by 0.088.
        let error = worst(&audio.samples, &tone());
        assert!(error < 0.03, "{name}: {error}");
    }
}

#[test]
fn the_content_decides_the_decoder_and_a_leading_id3_tag_is_skipped() {
    let dir = TempDir::new().unwrap();
    // A tag of 300 bytes: 300 = 2 * 128 + 44.
    let mut tag = b"ID3\x04\x00\x00\x00\x00\x02\x2c".to_vec();
    tag.resize(310, 0);
    for name in ["tone.flac", "tone.mp3"] {
        let bytes = std::fs::read(data(name)).unwrap();
        let plain = decode_bytes(&dir, &bytes).unwrap();
        assert_eq!(decode_bytes(&dir, &[tag.as_slice(), &bytes].concat()).unwrap(), plain, "{name}");
    }
    assert_eq!(reason(&dir, &tag), "truncated-audio");
    assert_eq!(reason(&dir, &tag[..100]), "truncated-audio");
}

#[test]
fn loading_resamples_to_the_asked_rate() {
    let audio = load(&data("tone.flac"), 8_000).unwrap();
    assert_eq!((audio.sample_rate_hz, audio.samples.len()), (8_000, TONE_LEN / 2));
    let expected: Vec<f64> = tone().iter().step_by(2).copied().collect();
    assert!(worst(&audio.samples[200..3_800], &expected[200..3_800]) < 1e-3);
    assert_eq!(load(&data("tone.flac"), 16_000).unwrap(), decode_file(&data("tone.flac")).unwrap());
}

#[test]
fn a_written_wav_reads_back_within_one_step_and_is_clamped() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.wav");
    write_wav(&path, &[0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5], 22_050).unwrap();
    let audio = decode_file(&path).unwrap();
    assert_eq!(audio.sample_rate_hz, 22_050);
    let steps: Vec<f32> = audio.samples.iter().map(|s| s * 32768.0).collect();
    assert_eq!(steps, [0.0, 16384.0, -16384.0, 32767.0, -32767.0, 32767.0, -32768.0]);
    assert_eq!(write_wav(&path, &[0.0, f32::NAN], 22_050).unwrap_err().reason(), "non-finite-audio");
    assert_eq!(decode_file(&path).unwrap(), audio, "a refused write leaves the file alone");
}

#[test]
fn missing_empty_and_strange_paths_have_their_own_errors() {
    let dir = TempDir::new().unwrap();
    let missing = decode_file(&dir.path().join("nope.wav")).unwrap_err();
    assert_eq!(missing.reason(), "missing-audio");
    assert!(missing.to_string().contains("nope.wav"));
    assert_eq!(decode_file(dir.path()).unwrap_err().reason(), "audio-not-a-file");
    assert_eq!(reason(&dir, b""), "empty-audio");
    assert_eq!(
        reason(&dir, &wav_bytes()[..40].iter().copied().chain([0; 4]).collect::<Vec<u8>>()),
        "empty-audio"
    );
}

#[test]
fn a_name_that_no_file_can_have_is_a_missing_file() {
    let dir = TempDir::new().unwrap();
    let file = wav(&dir, spec(16, SampleFormat::Int, 1), &tone());
    for path in [dir.path().join("x".repeat(300)), file.join("below.wav"), dir.path().join("a\0b.wav")] {
        let error = decode_file(&path).unwrap_err();
        assert!(error.is_about_the_file() && error.reason() == "missing-audio", "{error}");
    }
}

/// The first page of a process's own memory belongs to nothing: reading it is an I/O error.
#[cfg(target_os = "linux")]
#[test]
fn a_failure_to_read_is_no_property_of_the_file_and_exits_with_74() {
    let error = decode_file(std::path::Path::new("/proc/self/mem")).unwrap_err();
    assert!(!error.is_about_the_file(), "{error}");
    assert_eq!(error.exit_kind(), ExitKind::Io);
    assert!(error.to_string().contains("/proc/self/mem"), "{error}");
    assert!(std::error::Error::source(&error).unwrap().is::<std::io::Error>());
}

#[test]
fn other_formats_are_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let cases: [(&[u8], &str); 6] = [
        (b"\0\0\0\x1cftypM4A \0\0\0\0", "MP4"),
        (b"\x1a\x45\xdf\xa3 webm", "WebM"),
        (b"FORM\0\0\0\0AIFF", "AIFF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"<!DOCTYPE html><html>", "text"),
        (&[0x80, 0x01, 0x02, 0x03], "no known audio format"),
    ];
    for (bytes, words) in cases {
        let error = decode_bytes(&dir, bytes).unwrap_err();
        assert_eq!(error.reason(), "unsupported-audio");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(decode_file(&data("tone.opus")).unwrap_err().reason(), "unsupported-audio");
    // Format tag 2 is ADPCM.
    let mut adpcm = wav_bytes();
    adpcm[20] = 2;
    assert_eq!(reason(&dir, &adpcm), "unsupported-audio");
}

#[test]
fn a_header_that_claims_gigabytes_takes_no_memory_for_them() {
    let dir = TempDir::new().unwrap();
    let mut bytes = wav_bytes();
    let plain = decode_bytes(&dir, &bytes).unwrap();
    bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode_bytes(&dir, &bytes).unwrap(), plain, "a size that a stream left open");
    assert_eq!(reason(&dir, &bytes[..44]), "empty-audio");
    bytes[40..44].copy_from_slice(&0x7000_0000u32.to_le_bytes());
    assert_eq!(reason(&dir, &bytes), "truncated-audio");
    // An unknown chunk of 4 GB before the data.
    bytes.splice(36..36, *b"LIST\xff\xff\xff\xff");
    assert_eq!(reason(&dir, &bytes), "truncated-audio");
}

#[test]
fn absurd_rates_and_channel_counts_are_refused() {
    let dir = TempDir::new().unwrap();
    for rate_hz in [0u32, 1, 999, 768_001, u32::MAX / 2] {
        let mut bytes = wav_bytes();
        bytes[24..28].copy_from_slice(&rate_hz.to_le_bytes());
        bytes[28..32].copy_from_slice(&rate_hz.wrapping_mul(2).to_le_bytes());
        assert_eq!(reason(&dir, &bytes), "unsupported-audio", "{rate_hz} Hz");
    }
    // 100 channels of 16 bits: block size 200, byte rate 3.2 MB/s.
    let mut bytes = wav_bytes();
    bytes[22] = 100;
    bytes[28..32].copy_from_slice(&3_200_000u32.to_le_bytes());
    bytes[32..34].copy_from_slice(&200u16.to_le_bytes());
    assert_eq!(reason(&dir, &bytes), "unsupported-audio");
}

#[test]
fn nan_and_infinite_samples_are_refused_with_their_index() {
    let dir = TempDir::new().unwrap();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut samples = tone();
        samples[123] = bad;
        let error = decode_file(&wav(&dir, spec(32, SampleFormat::Float, 1), &samples)).unwrap_err();
        assert!(matches!(error, AudioError::NonFinite { index: 123, .. }), "{error}");
    }
}

/// Every cut of a small file, every 37th of a large one and the last hundred.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (1..len).filter(move |cut| *cut < 200 || len - cut <= 100 || cut % 37 == 0)
}

#[test]
fn a_file_cut_anywhere_is_an_error_and_never_a_shorter_recording() {
    let dir = TempDir::new().unwrap();
    let wav = wav_bytes();
    for cut in cuts(wav.len()) {
        let reason = reason(&dir, &wav[..cut]);
        assert_eq!(reason, if cut < 4 { "unsupported-audio" } else { "truncated-audio" }, "WAV cut at {cut}");
    }
    for name in ["tone.flac", "tone.ogg", "tone.mp3"] {
        let bytes = std::fs::read(data(name)).unwrap();
        for cut in cuts(bytes.len()) {
            let reason = reason(&dir, &bytes[..cut]);
            assert_ne!(reason, "decoded", "{name} cut at {cut} of {}", bytes.len());
            assert_ne!(reason, "audio-decoder-panic", "{name} cut at {cut}");
            if cut > bytes.len() / 2 {
                assert_eq!(reason, "truncated-audio", "{name} cut at {cut} of {}", bytes.len());
            }
        }
    }
}

#[test]
fn a_changed_byte_anywhere_never_panics_the_decoder() {
    let dir = TempDir::new().unwrap();
    let wav = wav_bytes();
    let files = ["tone.flac", "tone.ogg", "tone.mp3"].map(|name| std::fs::read(data(name)).unwrap());
    for bytes in files.iter().chain([&wav]) {
        for position in (0..bytes.len()).filter(|position| *position < 256 || position % 53 == 0) {
            for change in [0xff, 0x01, 0x80] {
                let mut changed = bytes.clone();
                changed[position] ^= change;
                match decode_bytes(&dir, &changed) {
                    Ok(audio) => {
                        assert!(audio.samples.iter().all(|s| s.is_finite()) && !audio.samples.is_empty());
                    }
                    Err(error) => {
                        assert_ne!(
                            error.reason(),
                            "audio-decoder-panic",
                            "byte {position} of {}",
                            bytes.len()
                        );
                    }
                }
            }
        }
    }
}
