//! Recordings inside the page: short mono WAV as base64, as many as a page can bear.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use idk_audio::AudioError;

/// Samples a second of a clip: what models hear.
const RATE_HZ: u32 = 16_000;
/// Longest clip, in seconds.
const MAX_SECONDS: usize = 10;
/// Most clips of a page.
const MAX_CLIPS: usize = 30;
/// Most characters of all clips of a page together.
const MAX_CHARS: usize = 4 << 20;

/// What is left for clips.
#[derive(Debug)]
pub(crate) struct Budget {
    clips: usize,
    chars: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { clips: MAX_CLIPS, chars: MAX_CHARS }
    }
}

impl Budget {
    /// A player for the recording, or the reason why there is none.
    ///
    /// # Errors
    /// [`AudioError::Common`] for a recording that cannot be read at the moment.
    pub(crate) fn player(&mut self, path: &Path) -> Result<String, AudioError> {
        if self.clips == 0 {
            return Ok(note("recording left out to keep the page small"));
        }
        let recording = match idk_audio::load_window(path, RATE_HZ, MAX_SECONDS * RATE_HZ as usize) {
            Ok(recording) => recording,
            Err(error) if error.is_about_the_file() => {
                return Ok(note("recording left out: it could not be read"));
            }
            Err(error) => return Err(error),
        };
        let data = STANDARD.encode(wav(&recording.audio.samples));
        if data.len() > self.chars {
            return Ok(note("recording left out to keep the page small"));
        }
        self.clips -= 1;
        self.chars -= data.len();
        let begun = if recording.is_cut() {
            note(&format!("the first {MAX_SECONDS} seconds"))
        } else {
            String::new()
        };
        Ok(format!("<audio controls preload=\"none\" src=\"data:audio/wav;base64,{data}\"></audio>{begun}"))
    }
}

fn note(text: &str) -> String {
    format!("<p class=\"faint\">{text}</p>")
}

/// A WAV file of 16-bit mono samples, in memory.
fn wav(samples: &[f32]) -> Vec<u8> {
    let data_bytes = 2 * samples.len() as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(RATE_HZ.to_le_bytes());
    bytes.extend((2 * RATE_HZ).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(data_bytes.to_le_bytes());
    // The cast saturates.
    bytes.extend(samples.iter().flat_map(|sample| ((sample * 32767.0).round() as i16).to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(dir: &Path, seconds: usize) -> std::path::PathBuf {
        let path = dir.join(format!("{seconds}.wav"));
        let samples: Vec<f32> = (0..seconds * 16_000).map(|i| (i % 100) as f32 / 200.0).collect();
        idk_audio::write_wav(&path, &samples, RATE_HZ).unwrap();
        path
    }

    fn inlined(player: &str) -> Vec<u8> {
        STANDARD.decode(player.split("base64,").nth(1).unwrap().split('"').next().unwrap()).unwrap()
    }

    #[test]
    fn a_short_recording_is_inlined_sample_by_sample() {
        let dir = tempfile::tempdir().unwrap();
        let path = recording(dir.path(), 1);
        let copy = dir.path().join("copy.wav");
        let bytes = inlined(&Budget::default().player(&path).unwrap());
        idk_common::fs::write_atomic(&copy, &bytes).unwrap();
        let (one, other) = (idk_audio::decode_file(&path).unwrap(), idk_audio::decode_file(&copy).unwrap());
        assert_eq!((one.sample_rate_hz, one.samples.len()), (other.sample_rate_hz, other.samples.len()));
        let largest =
            one.samples.iter().zip(&other.samples).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        assert!(largest < 1e-4, "{largest}");
    }

    #[test]
    fn clips_are_cut_and_their_number_and_size_have_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let long = recording(dir.path(), 11);
        let mut budget = Budget::default();
        let player = budget.player(&long).unwrap();
        assert_eq!(inlined(&player).len(), 44 + 2 * 160_000);
        assert!(player.contains("the first 10 seconds"));
        // Nine of 426,728 characters fit into 4,194,304; the tenth does not, a short one does.
        let players: Vec<bool> = (0..9).map(|_| budget.player(&long).unwrap().contains("<audio")).collect();
        assert_eq!(players, [[true; 8].as_slice(), &[false]].concat());
        let short = recording(dir.path(), 1);
        assert!(budget.player(&short).unwrap().contains("<audio"));
        let mut budget = Budget::default();
        let count = (0..40).filter(|_| budget.player(&short).unwrap().contains("<audio")).count();
        assert_eq!(count, MAX_CLIPS);
        assert!(
            Budget::default().player(&dir.path().join("none.wav")).unwrap().contains("could not be read")
        );
    }
}
