//! What is kept in memory: features, and until there are any the spectrograms of clips that were decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use idk_audio::LogMel;

/// Features and spectrograms within one limit; features have priority.
#[derive(Debug)]
pub(super) struct Memory {
    limit_bytes: u64,
    feature_bytes: u64,
    mel_bytes: u64,
    /// There was no room for features.
    is_full: bool,
    /// By everything that the features depend on.
    features: BTreeMap<String, Tensor<2>>,
    /// By the clip's hash.
    mels: BTreeMap<String, Arc<LogMel>>,
}

impl Memory {
    pub(super) fn new(limit_bytes: u64) -> Self {
        let (features, mels) = (BTreeMap::new(), BTreeMap::new());
        Self { limit_bytes, feature_bytes: 0, mel_bytes: 0, is_full: false, features, mels }
    }

    /// Bytes that features may still take; spectrograms make way for them.
    pub(super) fn room_for_features(&self) -> u64 {
        self.limit_bytes - self.feature_bytes
    }

    /// Whether any spectrogram may fit.
    pub(super) fn has_room_for_mels(&self) -> bool {
        self.feature_bytes + self.mel_bytes < self.limit_bytes
    }

    pub(super) fn features(&self, key: &str) -> Option<Tensor<2>> {
        self.features.get(key).cloned()
    }

    pub(super) fn has_features(&self, key: &str) -> bool {
        self.features.contains_key(key)
    }

    pub(super) fn mel(&self, clip_sha256: &str) -> Option<Arc<LogMel>> {
        self.mels.get(clip_sha256).map(Arc::clone)
    }

    /// Keeps the spectrogram of a clip if there is room.
    pub(super) fn keep_mel(&mut self, clip_sha256: &str, mel: &Arc<LogMel>) {
        let bytes = mel_bytes(mel);
        let fits = self.feature_bytes + self.mel_bytes + bytes <= self.limit_bytes;
        if fits && !self.mels.contains_key(clip_sha256) {
            self.mel_bytes += bytes;
            self.mels.insert(clip_sha256.to_owned(), Arc::clone(mel));
        }
    }

    /// Keeps the features of a clip, which take `bytes`, if there is room; its spectrogram is then not needed any more.
    pub(super) fn keep_features(&mut self, key: &str, clip_sha256: &str, features: &Tensor<2>, bytes: u64) {
        if self.features.contains_key(key) {
            return;
        }
        if bytes > self.room_for_features() {
            self.is_full = true;
            return;
        }
        self.feature_bytes += bytes;
        self.features.insert(key.to_owned(), features.clone());
        if let Some(mel) = self.mels.remove(clip_sha256) {
            self.mel_bytes -= mel_bytes(&mel);
        }
        while self.feature_bytes + self.mel_bytes > self.limit_bytes {
            let Some((_, mel)) = self.mels.pop_last() else { break };
            self.mel_bytes -= mel_bytes(&mel);
        }
    }

    /// Whether there was no room for features.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit_bytes);
    }
}

fn mel_bytes(mel: &LogMel) -> u64 {
    4 * mel.data.len() as u64
}
