//! A decoded recording.

use super::split::Split;
use crate::mix::SAMPLE_RATE_HZ;

/// One clip, mono at [`SAMPLE_RATE_HZ`], without silent ends, at one level.
#[derive(Debug)]
pub(crate) struct BankClip {
    /// What must not cross splits: package and recording.
    pub(crate) recording: String,
    /// `None` for a recording that no question uses.
    pub(crate) split: Option<Split>,
    pub(crate) samples: Vec<f32>,
}

impl BankClip {
    pub(crate) fn duration_s(&self) -> f64 {
        self.samples.len() as f64 / f64::from(SAMPLE_RATE_HZ)
    }
}
