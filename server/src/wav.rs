//! Samples as a WAV file in memory, without loss.

/// Mono WAV: 16-bit integers if every sample is one of them, else 32-bit floats.
///
/// Recordings of 16 bits at the model's rate then take half the bytes, and the server's encoder hears the very samples
/// that the local one would. Readers divide 16-bit samples by 32768.
#[must_use]
pub fn wav_bytes(samples: &[f32], sample_rate_hz: u32) -> Vec<u8> {
    let fits = |&sample: &f32| {
        let scaled = sample * 32768.0;
        scaled == scaled.trunc() && (-32768.0..=32767.0).contains(&scaled)
    };
    if samples.iter().all(fits) {
        let data = samples.iter().flat_map(|sample| ((sample * 32768.0) as i16).to_le_bytes());
        with_header(1, 2, samples.len(), sample_rate_hz, data)
    } else {
        let data = samples.iter().flat_map(|sample| sample.to_le_bytes());
        with_header(3, 4, samples.len(), sample_rate_hz, data)
    }
}

/// `format` is 1 for integers and 3 for IEEE floats.
fn with_header(
    format: u16,
    sample_bytes: u16,
    frames: usize,
    sample_rate_hz: u32,
    data: impl Iterator<Item = u8>,
) -> Vec<u8> {
    // A window is some seconds long: far from the 4 GiB that 32 bits count.
    let data_bytes = (frames * usize::from(sample_bytes)) as u32;
    let mut bytes = Vec::with_capacity(44 + data_bytes as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16_u32.to_le_bytes());
    bytes.extend_from_slice(&format.to_le_bytes());
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.extend_from_slice(&sample_rate_hz.to_le_bytes());
    bytes.extend_from_slice(&(sample_rate_hz * u32::from(sample_bytes)).to_le_bytes());
    bytes.extend_from_slice(&sample_bytes.to_le_bytes());
    bytes.extend_from_slice(&(8 * sample_bytes).to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data_bytes.to_le_bytes());
    bytes.extend(data);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(samples: &[f32]) -> (usize, Vec<f32>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        let bytes = wav_bytes(samples, 16_000);
        idk_common::fs::write_atomic(&path, &bytes).unwrap();
        let audio = idk_audio::load(&path, 16_000).unwrap();
        (bytes.len(), audio.samples)
    }

    #[test]
    fn every_sample_comes_back_bit_for_bit() {
        let of_16_bits: Vec<f32> = (-32768..=32767).map(|value| value as f32 / 32768.0).collect();
        assert_eq!(read_back(&of_16_bits), (44 + 2 * 65_536, of_16_bits));
        for odd in [vec![0.1, -0.7, 1.5e-9], vec![1.0, 0.0], vec![0.25, -1.25]] {
            assert_eq!(read_back(&odd), (44 + 4 * odd.len(), odd));
        }
    }
}
