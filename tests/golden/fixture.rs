//! The folder of golden values: where it is, and what is in it. No size is assumed anywhere.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use idk_audio::{LogMel, load};
use idk_common::json::read_json;
use idk_model::{
    Adapters, Device, ForwardContext, Lalm, LalmTokenizer, Message, Part, Prompt, RunSettings, TokenBatch,
    WeightDtype, device,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The committed folders, one for each family.
const FOLDERS: [&str; 5] =
    ["qwen2-audio-tiny", "qwen2_5-omni-tiny", "audioflamingo3-tiny", "musicflamingo-tiny", "voxtral-tiny"];

/// `IDK_FIXTURE_DIR`, or the committed folders.
fn dirs() -> Vec<PathBuf> {
    if let Some(dir) = std::env::var_os("IDK_FIXTURE_DIR") {
        return vec![PathBuf::from(dir)];
    }
    FOLDERS
        .iter()
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
        .collect()
}

/// Runs a test on every folder. The last folder that a failed test prints is the one that it failed on.
pub(crate) fn each_fixture(mut test: impl FnMut(&Fixture)) {
    for dir in dirs() {
        println!("{}", dir.display());
        test(&Fixture::load(dir));
    }
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

    /// The parts of a clip's windows, which have so many values here: a dimension of the golden values where they have
    /// one for windows, else one part after the other.
    pub(crate) fn windows(&self, lengths: &[usize]) -> Vec<&[f64]> {
        if self.shape.len() == 3 {
            return (0..self.shape[0]).map(|window| self.row(window)).collect();
        }
        let mut rest = self.values.as_slice();
        let parts = lengths.iter().map(|&length| rest.split_off(..length).unwrap()).collect();
        assert!(rest.is_empty(), "{} golden values more", rest.len());
        parts
    }

    /// Rows of an integer matrix.
    pub(crate) fn ids(&self) -> Vec<Vec<i64>> {
        (0..self.shape[0]).map(|row| self.row(row).iter().map(|&id| id as i64).collect()).collect()
    }
}

/// What the reference's feature extractor gives for a clip.
pub(crate) struct MelGolden {
    /// Frames of all windows.
    pub(crate) frames: usize,
    /// Those of them that are audio.
    pub(crate) valid_frames: usize,
    /// `[bands, frames]`.
    pub(crate) values: Vec<f64>,
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
    fn load(dir: PathBuf) -> Self {
        Self::load_on(dir, &test_device(), test_settings())
    }

    /// The same folder on `device`, with weights of another type.
    pub(crate) fn held_as(&self, dtype: WeightDtype, device: &Device) -> Self {
        Self::load_on(self.dir.clone(), device, RunSettings { dtype, ..RunSettings::PLAIN })
    }

    fn load_on(dir: PathBuf, device: &Device, settings: RunSettings) -> Self {
        let lalm = Lalm::load_with(&dir, device, settings).unwrap();
        let golden = read_tensors(&dir.join("golden.safetensors"));
        let [json, prompts] = ["golden.json", "prompts.json"].map(|name| read_json(&dir.join(name)).unwrap());
        Self { dir, golden, json, prompts, lalm }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Golden> {
        self.golden.get(name)
    }

    pub(crate) fn get(&self, name: &str) -> &Golden {
        self.find(name).unwrap_or_else(|| panic!("golden.safetensors has no `{name}`"))
    }

    /// The logits of a batch or chat: of all positions, or of the last ones.
    pub(crate) fn logits_golden(&self, prefix: &str) -> &Golden {
        let beginning = format!("{prefix}.logits");
        let found = self.golden.iter().find(|(name, _)| name.starts_with(&beginning));
        found.unwrap_or_else(|| panic!("golden.safetensors has no `{beginning}`")).1
    }

    /// The spectrogram of a clip. Folders hold those of all clips in one tensor, or one for each clip, which has several
    /// windows or no dimension for them.
    pub(crate) fn mel_golden(&self, clip: &str) -> Option<MelGolden> {
        if let Some(features) = self.find("mel.input_features") {
            let index = self.clips().iter().position(|name| *name == clip)?;
            let valid = self.get("mel.feature_attention_mask").row(index).iter().filter(|&&flag| flag != 0.0);
            let (frames, values) = (features.shape[2], features.row(index).to_vec());
            return Some(MelGolden { frames, valid_frames: valid.count(), values });
        }
        let features = self.find(&format!("mel.{clip}.input_features"))?;
        let frames = *features.shape.last()?;
        let windows = if features.shape.len() == 3 { features.shape[0] } else { 1 };
        let bands = features.values.len() / frames / windows;
        let row = |band: usize, window: usize| &features.values[(window * bands + band) * frames..][..frames];
        let values =
            (0..bands).flat_map(|band| (0..windows).flat_map(move |window| row(band, window).to_vec()));
        let mask = self.find(&format!("mel.{clip}.input_features_mask"));
        let valid =
            mask.map_or(windows * frames, |mask| mask.values.iter().filter(|&&flag| flag != 0.0).count());
        Some(MelGolden { frames: windows * frames, valid_frames: valid, values: values.collect() })
    }

    /// The clips whose way through the encoder is among the golden values.
    pub(crate) fn encoded_clips(&self) -> Vec<&str> {
        if self.find("batch.enc.out").is_some() {
            let names = (0..self.get("batch.enc.out").shape[0]).map(|row| format!("batch{row}"));
            return names.map(|name| self.clips_of(&name)[0]).collect();
        }
        self.clips().into_iter().filter(|clip| self.find(&format!("enc.{clip}.out")).is_some()).collect()
    }

    /// The golden stages of a clip in the encoder, by name.
    pub(crate) fn stages_golden(&self, clip: &str) -> Vec<(String, Golden)> {
        let own = format!("enc.{clip}.");
        if let Some(index) = self.batch_index(clip) {
            let of_clip = |(name, all): (&str, &Golden)| {
                let row = Golden { shape: [&[1], &all.shape[1..]].concat(), values: all.row(index).to_vec() };
                (name.to_owned(), row)
            };
            return self.starting_with("batch.enc.").map(of_clip).collect();
        }
        let stages = self.starting_with(&own).filter(|(name, _)| *name != "features");
        stages.map(|(name, golden)| (name.to_owned(), golden.clone())).collect()
    }

    /// The golden rows that a clip adds to the language model's input; there may be unused ones behind them.
    pub(crate) fn features_golden(&self, clip: &str) -> Vec<f64> {
        match self.batch_index(clip) {
            Some(index) => self.get("batch.audio_features").row(index).to_vec(),
            None => self.get(&format!("enc.{clip}.features")).values.clone(),
        }
    }

    /// The row of a clip where the golden values of the encoder are those of a batch.
    fn batch_index(&self, clip: &str) -> Option<usize> {
        self.find("batch.enc.out")?;
        self.encoded_clips().iter().position(|name| *name == clip)
    }

    /// The tokenizer of the model, and the same one as another folder has it.
    pub(crate) fn tokenizers(&self) -> Vec<LalmTokenizer> {
        let mut tokenizers = vec![self.lalm.tokenizer.clone()];
        let hub_style = self.dir.join("tokenizer_hub_style");
        if hub_style.exists() {
            tokenizers.push(LalmTokenizer::from_dir(&hub_style, &self.lalm.config).unwrap());
        }
        tokenizers
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
    pub(crate) fn clips_of(&self, name: &str) -> Vec<&str> {
        self.prompts[name]["audios"].as_array().unwrap().iter().map(|clip| clip.as_str().unwrap()).collect()
    }

    pub(crate) fn prompt_mels(&self, name: &str) -> Vec<LogMel> {
        self.clips_of(name).into_iter().map(|clip| self.mel(clip)).collect()
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
        Prompt { ids, audio, guide: None }
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

/// Names and shapes of the tensors of a file.
pub(crate) fn read_shapes(path: &Path) -> BTreeMap<String, Vec<usize>> {
    let bytes = idk_common::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, view.shape().to_vec())).collect()
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

/// Fails unless the ends of the rows agree with the golden rows, which may be shorter.
pub(crate) fn assert_ends(what: &str, found: &[Vec<f64>], golden: &Golden) {
    assert_eq!(found.len(), golden.shape[0], "{what}: rows");
    for (row, found) in found.iter().enumerate() {
        let expected = golden.row(row);
        assert_close(what, &found[found.len() - expected.len()..], expected, crate::TOLERANCE);
    }
}
