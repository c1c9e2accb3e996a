//! Which labels of a class sound alike, measured on the clips: options near or far from the answer are chosen by it.

use idk_audio::{MelConfig, MelExtractor};
use rayon::prelude::*;

use super::class::Class;
use super::clip::BankClip;
use crate::mix::SAMPLE_RATE_HZ;

const BANDS: usize = 32;
/// Mean and spread of each band over the clip, and the clip's length.
const FEATURES: usize = 2 * BANDS + 1;

/// A shorter clip is padded to so many samples: three frames.
const MIN_SAMPLES: usize = 321;

/// A coarse picture of every clip.
pub(crate) fn features(clips: &[BankClip]) -> Vec<[f32; FEATURES]> {
    let config = MelConfig {
        feature_size: BANDS,
        sampling_rate: SAMPLE_RATE_HZ as usize,
        hop_length: 160,
        n_fft: 400,
        chunk_length: 3,
    };
    let extractor = MelExtractor::new(config);
    clips.par_iter().map(|clip| feature(&extractor, &clip.samples)).collect()
}

fn feature(extractor: &MelExtractor, samples: &[f32]) -> [f32; FEATURES] {
    let mut padded = samples.to_vec();
    padded.resize(samples.len().max(MIN_SAMPLES), 0.0);
    let mel = extractor.log_mel(&padded, extractor.frames(padded.len()));
    let frames = mel.valid_frames.clamp(1, mel.frames);
    let mut out = [0.0; FEATURES];
    for (band, row) in mel.data.chunks_exact(mel.frames).enumerate() {
        let heard = &row[..frames];
        let mean = heard.iter().sum::<f32>() / frames as f32;
        let variance = heard.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / frames as f32;
        out[band] = mean;
        out[BANDS + band] = variance.sqrt();
    }
    out[2 * BANDS] = (samples.len() as f32 / SAMPLE_RATE_HZ as f32).sqrt();
    out
}

/// The distances between the labels of a class: Euclidean, between the mean features of their clips.
pub(crate) fn neighbours(class: &Class, features: &[[f32; FEATURES]]) -> Vec<Vec<f32>> {
    let centres: Vec<[f32; FEATURES]> = class
        .labels
        .iter()
        .map(|label| {
            let mut centre = [0.0; FEATURES];
            let ids: Vec<usize> = label.clips.iter().flatten().copied().collect();
            for id in &ids {
                centre.iter_mut().zip(&features[*id]).for_each(|(sum, value)| *sum += value);
            }
            centre.map(|sum| sum / ids.len().max(1) as f32)
        })
        .collect();
    let distance = |a: &[f32; FEATURES], b: &[f32; FEATURES]| {
        a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt()
    };
    centres.iter().map(|a| centres.iter().map(|b| distance(a, b)).collect()).collect()
}
