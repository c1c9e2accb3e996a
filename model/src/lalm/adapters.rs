//! Adapters for a loaded model.

use std::path::Path;

use crate::error::ModelError;
use crate::lalm::Lalm;
use crate::lora::{Adapters, LoraConfig};

impl Adapters {
    /// Fresh adapters for every linear layer that the config names: A random, B zero, so that nothing changes before
    /// the first step. Every module draws from a stream of its own name: the numbers depend on no order.
    ///
    /// # Errors
    /// As [`LoraConfig::adapted`].
    pub fn init(lalm: &Lalm, config: &LoraConfig, seed: u64) -> Result<Self, ModelError> {
        Self::init_for(&lalm.config.linears(), config, seed, &lalm.device)
    }

    /// Reads an adapter folder for `lalm`, under either naming.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] names the key and the file: a setting that is not implemented (DoRA, trained biases,
    /// saved modules ...), a tensor that fits no linear layer, a layer without its pair, a wrong shape;
    /// [`ModelError::NonFinite`], [`ModelError::Weights`] for damaged weights.
    pub fn load(dir: &Path, lalm: &Lalm) -> Result<Self, ModelError> {
        Self::load_for(dir, &lalm.config.linears(), &lalm.device)
    }
}
