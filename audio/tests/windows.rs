//! The window of a recording: the same samples as of the whole, in less memory, with notes about them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::path::Path;

use idk_audio::{Notes, Recording, load, load_window};
use idk_common::hash::sha256_file;
use support::{data, data_bytes, file, float_wav, float_wav_at, sine};
use tempfile::TempDir;

fn bits(samples: &[f32]) -> Vec<u32> {
    samples.iter().map(|sample| sample.to_bits()).collect()
}

fn assert_window_equals_whole(path: &Path, rate_hz: u32) {
    let whole = load(path, rate_hz).unwrap();
    let len = whole.samples.len();
    for wanted in [0, 1, 7, 100, len / 2, len - 1, len, len + 1, 10 * len] {
        let window = load_window(path, rate_hz, wanted).unwrap();
        let expected = &whole.samples[..wanted.min(len)];
        assert_eq!(bits(&window.audio.samples), bits(expected), "{path:?} at {rate_hz} Hz, {wanted} samples");
        assert_eq!((window.total_samples, window.audio.sample_rate_hz), (len, rate_hz), "{path:?}");
        assert_eq!(window.is_cut(), wanted < len);
        assert_eq!(window.sha256, sha256_file(path).unwrap());
    }
}

#[test]
fn a_window_is_the_start_of_the_whole_bit_for_bit_in_every_format_and_at_every_rate() {
    let dir = TempDir::new().unwrap();
    let noise: Vec<f32> =
        (0..6_000u32).map(|i| (i.wrapping_mul(2_654_435_761) as i32) as f32 / 2.2e9).collect();
    let wav = file(&dir, &float_wav(&noise, 2));
    for path in [&wav, &data("tone.flac"), &data("tone.ogg"), &data("tone.mp3")] {
        for rate_hz in [16_000, 8_000, 11_025, 44_100, 15_999] {
            assert_window_equals_whole(path, rate_hz);
        }
    }
    for from_hz in [8_000, 44_100, 48_000, 655_350] {
        assert_window_equals_whole(&file(&dir, &float_wav_at(&noise, 1, from_hz)), 16_000);
    }
}

#[test]
fn damage_after_the_window_is_still_found() {
    let dir = TempDir::new().unwrap();
    let reason = |bytes: &[u8]| load_window(&file(&dir, bytes), 16_000, 100).unwrap_err().reason();
    for name in ["tone.flac", "tone.ogg", "tone.mp3"] {
        let bytes = data_bytes(name);
        assert_eq!(reason(&bytes[..bytes.len() - 200]), "truncated-audio", "{name}");
    }
    let mut samples = sine(2_000);
    samples[1_999] = f32::NAN;
    assert_eq!(reason(&float_wav(&samples, 1)), "non-finite-audio");
}

fn recording(dir: &TempDir, bytes: &[u8]) -> Recording {
    load_window(&file(dir, bytes), 16_000, 1_000).unwrap()
}

#[test]
fn silence_and_opposite_channels_are_noted() {
    let dir = TempDir::new().unwrap();
    let notes = |samples: &[f32], channels| recording(&dir, &float_wav(samples, channels)).notes;
    let (tone, none) = (sine(2_000), Notes::default());
    let silent = Notes { silent: true, ..none };
    let stereo = |left: &[f32], gain: f32| -> Vec<f32> { left.iter().flat_map(|&s| [s, gain * s]).collect() };

    assert_eq!(notes(&tone, 1), none);
    assert_eq!(notes(&[0.0; 2_000], 1), silent);
    let dither: Vec<f32> = (0..2_000).map(|i| if i % 3 == 0 { 1.0 / 32_768.0 } else { 0.0 }).collect();
    assert_eq!(notes(&dither, 1), silent);
    assert_eq!(notes(&dither.iter().map(|s| 2.0 * s).collect::<Vec<_>>(), 1), none);
    // Heard is the window alone.
    assert_eq!(notes(&[[0.0; 1_000].as_slice(), &tone].concat(), 1), silent);

    assert_eq!(notes(&stereo(&tone, 1.0), 2), none);
    assert_eq!(notes(&stereo(&tone, 0.0), 2), none, "one channel");
    assert_eq!(notes(&stereo(&tone, -0.5), 2), none, "a quarter of the amplitude is left");
    let opposite = Notes { opposite_phase: true, ..none };
    assert_eq!(notes(&stereo(&tone, -0.95), 2), opposite);
    assert_eq!(notes(&stereo(&tone, -1.0), 2), Notes { silent: true, ..opposite });
    let names: Vec<&str> = notes(&stereo(&tone, -1.0), 2).names().collect();
    assert_eq!(names, ["silent", "opposite-phase"]);
    assert_eq!(notes(&stereo(&dither, -1.0), 2), silent, "nothing was there to cancel");
}

#[test]
fn mp3_files_one_after_the_other_are_noted() {
    let dir = TempDir::new().unwrap();
    let mp3 = data_bytes("tone.mp3");
    let plain = recording(&dir, &mp3);
    assert!(!plain.notes.joined);
    let joined = recording(&dir, &[&mp3[..], &mp3].concat());
    assert!(joined.notes.joined);
    assert_eq!((joined.audio, joined.total_samples), (plain.audio, plain.total_samples));
}
