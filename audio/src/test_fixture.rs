//! The golden values that the unit tests read: written by Hugging Face transformers.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

/// The fixture folder; `IDK_FIXTURE_DIR` names another one (of any size).
pub(crate) fn dir() -> PathBuf {
    match std::env::var_os("IDK_FIXTURE_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny"),
    }
}

/// The samples of one of the fixture's clips.
pub(crate) fn samples(name: &str) -> Vec<f32> {
    crate::decode_file(&dir().join(format!("{name}.wav"))).unwrap().samples
}

/// The file of golden tensors.
pub(crate) struct Golden(Vec<u8>);

impl Golden {
    pub(crate) fn read() -> Self {
        Self(std::fs::read(dir().join("golden.safetensors")).unwrap())
    }

    pub(crate) fn f32(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        self.words(name, Dtype::F32, f32::from_le_bytes)
    }

    pub(crate) fn i32(&self, name: &str) -> (Vec<usize>, Vec<i32>) {
        self.words(name, Dtype::I32, i32::from_le_bytes)
    }

    fn words<T>(&self, name: &str, dtype: Dtype, read: fn([u8; 4]) -> T) -> (Vec<usize>, Vec<T>) {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), dtype, "{name}");
        let (words, _) = tensor.data().as_chunks::<4>();
        (tensor.shape().to_vec(), words.iter().map(|&word| read(word)).collect())
    }
}
