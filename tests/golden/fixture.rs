//! The folder of golden values: where it is, and what is in it. No size is assumed anywhere.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use idk_audio::{LogMel, load};
use idk_common::json::read_json;
use idk_model::{
    Adapters, Device, ForwardContext, Lalm, Message, Part, Prompt, RunSettings, TokenBatch, WeightDtype,
    device,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// `IDK_FIXTURE_DIR`, or the committed folder.
pub(crate) fn dir() -> PathBuf {
    std::env::var_os("IDK_FIXTURE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/qwen2-audio-tiny"),
        PathBuf::from,
    )
}

/// `IDK_TEST_DEVICE`, or the CPU. Golden values hold on any device, within [`test_tolerance`].
pub(crate) fn test_device() -> Device {
    let name = std::env::var("IDK_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    // The first test of the process decides; a GPU's kernels are those that the programs compile.
    let _ = idk_model::open_kernel_cache(&idk_model::default_kernel_cache_dir(), &name);
    device(&name).unwrap()
}

/// float32 without padding, or `IDK_TEST_DTYPE=bf16`.
pub(crate) fn test_settings() -> RunSettings {
    match std::env::var("IDK_TEST_DTYPE").as_deref() {
        Ok("bf16") => RunSettings { dtype: WeightDtype::Bf16, ..RunSettings::PLAIN },
        _ => RunSettings::PLAIN,
    }
}

/// `IDK_TEST_TOLERANCE` where it is looser than what a check asks for.
fn test_tolerance(asked: f64) -> f64 {
    let given = std::env::var("IDK_TEST_TOLERANCE").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(asked).max(asked)
}

/// One golden tensor, widened to f64.
#[derive(Clone, Debug)]
pub(crate) struct Golden {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Golden {
    /// Row `index` of the first dimension, flattened.
    pub(crate) fn row(&self, index: usize) -> &[f64] {
        let len = self.values.len() / self.shape[0];
        &self.values[index * len..][..len]
    }

    /// Rows of an integer matrix.
    pub(crate) fn ids(&self) -> Vec<Vec<i64>> {
        (0..self.shape[0]).map(|row| self.row(row).iter().map(|&id| id as i64).collect()).collect()
    }
}

/// Everything of the fixture, read once a test.
pub(crate) struct Fixture {
    pub(crate) dir: PathBuf,
    pub(crate) golden: BTreeMap<String, Golden>,
    pub(crate) json: Value,
    pub(crate) prompts: Value,
    pub(crate) lalm: Lalm,
}

impl Fixture {
    pub(crate) fn load() -> Self {
        let dir = dir();
        let lalm = Lalm::load_with(&dir, &test_device(), test_settings()).unwrap();
        let golden = read_tensors(&dir.join("golden.safetensors"));
        let [json, prompts] = ["golden.json", "prompts.json"].map(|name| read_json(&dir.join(name)).unwrap());
        Self { dir, golden, json, prompts, lalm }
    }

    pub(crate) fn get(&self, name: &str) -> &Golden {
        self.golden.get(name).unwrap_or_else(|| panic!("golden.safetensors has no `{name}`"))
    }

    /// Golden tensors whose name starts with `prefix`, with the rest of their names.
    pub(crate) fn starting_with<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Golden)> {
        self.golden.iter().filter_map(move |(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)))
    }

    /// Names of the clips, in the order of the golden features.
    pub(crate) fn clips(&self) -> Vec<&str> {
        self.json["audio"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    pub(crate) fn samples(&self, clip: &str) -> Vec<f32> {
        let path = self.dir.join(format!("{clip}.wav"));
        load(&path, self.lalm.mel.config().sampling_rate as u32).unwrap().samples
    }

    pub(crate) fn mel(&self, clip: &str) -> LogMel {
        self.lalm.mel.log_mel(&self.samples(clip))
    }

    /// The chat of prompt `name`.
    pub(crate) fn messages(&self, name: &str) -> Vec<Message> {
        let part = |item: &Value| match item["type"].as_str().unwrap() {
            "audio" => Part::Audio,
            _ => Part::Text(item["text"].as_str().unwrap().to_owned()),
        };
        let message = |item: &Value| Message {
            role: item["role"].as_str().unwrap().to_owned(),
            parts: match &item["content"] {
                Value::String(text) => vec![Part::Text(text.clone())],
                content => content.as_array().unwrap().iter().map(part).collect(),
            },
        };
        self.prompts[name]["messages"].as_array().unwrap().iter().map(message).collect()
    }

    /// The clips that prompt `name` uses, in order.
    pub(crate) fn prompt_clips(&self, name: &str) -> Vec<&str> {
        self.prompts[name]["audios"].as_array().unwrap().iter().map(|clip| clip.as_str().unwrap()).collect()
    }

    pub(crate) fn prompt_mels(&self, name: &str) -> Vec<LogMel> {
        self.prompt_clips(name).into_iter().map(|clip| self.mel(clip)).collect()
    }

    /// Tokens of each clip of prompt `name`.
    pub(crate) fn audio_tokens(&self, name: &str) -> Vec<usize> {
        self.prompt_mels(name).iter().map(|mel| self.lalm.mel.tokens(mel)).collect()
    }

    /// The prompts of the golden batch, in row order.
    pub(crate) fn batch_names(&self) -> Vec<String> {
        let rows = self.get("batch.input_ids").shape[0];
        (0..rows).map(|row| format!("batch{row}")).collect()
    }

    /// Encoded clips of each prompt in `names`.
    pub(crate) fn features(
        &self,
        lalm: &Lalm,
        names: &[&str],
        context: &ForwardContext,
    ) -> Vec<Vec<Tensor<2>>> {
        names
            .iter()
            .map(|name| {
                let mels = self.prompt_mels(name);
                lalm.encode_audio(&mels.iter().collect::<Vec<_>>(), context).unwrap()
            })
            .collect()
    }

    /// A prompt ready to be answered.
    pub(crate) fn prompt(&self, name: &str, adapters: Option<&Adapters>) -> Prompt {
        let ids = self.lalm.tokenizer.prompt_ids(&self.messages(name), &self.audio_tokens(name)).unwrap();
        let context = ForwardContext { adapters, dropout_seed: None };
        let audio = self.features(&self.lalm, &[name], &context).remove(0);
        Prompt { ids, audio }
    }

    /// The golden batch `prefix`.input_ids and .attention_mask.
    pub(crate) fn token_batch(&self, prefix: &str) -> TokenBatch {
        let ids = self.get(&format!("{prefix}.input_ids")).ids();
        let mask = self.get(&format!("{prefix}.attention_mask")).ids();
        TokenBatch {
            ids: ids
                .into_iter()
                .map(|row| row.into_iter().map(|id| u32::try_from(id).unwrap()).collect())
                .collect(),
            mask: mask.into_iter().map(|row| row.into_iter().map(|flag| flag != 0).collect()).collect(),
        }
    }

    /// Logits at every position of a golden batch, `[batch][seq * vocab]`, 0 at padding as in the golden files.
    pub(crate) fn logits(
        &self,
        lalm: &Lalm,
        prefix: &str,
        names: &[&str],
        adapters: Option<&Adapters>,
    ) -> Vec<Vec<f64>> {
        let context = ForwardContext { adapters, dropout_seed: None };
        let batch = self.token_batch(prefix);
        let embeds = lalm.embed(&batch, &self.features(lalm, names, &context)).unwrap();
        let hidden = lalm.decoder.hidden(embeds, &batch.mask, &context, None);
        let [rows, seq, width] = hidden.dims();
        let logits = lalm.decoder.logits(hidden.reshape([rows * seq, width]));
        let vocab = logits.dims()[1];
        let values = to_f64(&logits);
        let at = |row: usize, column: usize| &values[(row * seq + column) * vocab..][..vocab];
        let masked = |row: usize, column: usize| {
            let real = f64::from(u8::from(batch.mask[row][column]));
            at(row, column).iter().map(move |logit| logit * real)
        };
        (0..rows).map(|row| (0..seq).flat_map(|column| masked(row, column)).collect()).collect()
    }
}

pub(crate) fn read_tensors(path: &Path) -> BTreeMap<String, Golden> {
    let bytes = idk_common::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let widen = |dtype: Dtype, data: &[u8]| -> Vec<f64> {
        let words = data.as_chunks::<4>().0.iter();
        match dtype {
            Dtype::F32 => words.map(|word| f64::from(f32::from_le_bytes(*word))).collect(),
            Dtype::I32 => words.map(|word| f64::from(i32::from_le_bytes(*word))).collect(),
            other => panic!("golden tensors are F32 or I32, not {other:?}"),
        }
    };
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            (name, Golden { shape: view.shape().to_vec(), values: widen(view.dtype(), view.data()) })
        })
        .collect()
}

pub(crate) fn to_f64<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().inner().to_data().iter::<f64>().collect()
}

/// Fails unless all values agree within `tolerance`; prints the greatest difference.
pub(crate) fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let tolerance = test_tolerance(tolerance);
    let mut worst = (0.0, 0);
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        let difference = (a - b).abs();
        assert!(!difference.is_nan(), "{what}: element {index} is {a}, golden {b}");
        if difference > worst.0 {
            worst = (difference, index);
        }
    }
    println!("{what}: {} values, max difference {:.2e}", found.len(), worst.0);
    assert!(
        worst.0 <= tolerance,
        "{what}: element {} differs by {:.3e} (tolerance {tolerance:e})",
        worst.1,
        worst.0
    );
}
