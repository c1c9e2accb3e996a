//! Full-parameter training of a small base model from scratch on freshly rendered clips.
//!
//! Every row is a pure function of (seed, row index): the clip, the question, the task and the
//! augmentation. The refusal phrase is only ever a phrase to repeat, never an answer about audio.

use idk_audio::{LogMel, MelConfig};
use idk_benchmark::{ComposedItem, Stream};
use idk_common::seed::{Rng, derive_seed};
use idk_common::{Problem, Problems};
use idk_model::{FeatureExtractor, LalmTokenizer, Message};
use idk_questions::{PromptStyle, prompt_text, shuffled};
use idk_trainer::{Clip, Example};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `[base]`: the mix of tasks that a base model is trained on. Shares are relative weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BaseConfig {
    /// Share of "describe the audio" rows.
    pub caption: f64,
    /// Share of questions without options.
    pub open: f64,
    /// Share of questions with four options, in a fresh order each time.
    pub choice: f64,
    /// Share of "repeat this phrase" rows, half of them with a clip.
    pub repeat: f64,
    /// Share of the repeat rows whose phrase is the refusal.
    pub refusal_share: f64,
    /// Difficulties that are trained on; all when empty. Hearing starts sooner on clear clips.
    pub difficulties: Vec<String>,
    /// Number format of the weights on disk: `f32` or `bf16`.
    pub dtype: Dtype,
    /// Share of the clips in which a band of mel channels is blanked (SpecAugment, Park et al. 2019).
    pub frequency_mask: f64,
}

/// Number format of saved weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floating point.
    #[default]
    F32,
    /// bfloat16, as the published checkpoints.
    Bf16,
}

impl Default for BaseConfig {
    fn default() -> Self {
        Self {
            caption: 0.0,
            open: 0.15,
            choice: 0.7,
            repeat: 0.1,
            refusal_share: 0.3,
            difficulties: Vec::new(),
            dtype: Dtype::F32,
            frequency_mask: 0.5,
        }
    }
}

/// `[init]`: the sizes of a model that starts from random weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InitConfig {
    /// Mel channels of the log-mel features.
    pub num_mel_bins: usize,
    /// Width of the audio encoder.
    pub d_model: usize,
    /// Layers of the audio encoder.
    pub encoder_layers: usize,
    /// Attention heads of the audio encoder.
    pub encoder_attention_heads: usize,
    /// Width of the encoder's feed-forward layers.
    pub encoder_ffn_dim: usize,
    /// Width of the language model.
    pub hidden_size: usize,
    /// Width of the language model's feed-forward layers.
    pub intermediate_size: usize,
    /// Layers of the language model.
    pub num_hidden_layers: usize,
    /// Query heads of the language model.
    pub num_attention_heads: usize,
    /// Key and value heads of the language model.
    pub num_key_value_heads: usize,
}

impl Default for InitConfig {
    fn default() -> Self {
        Self {
            num_mel_bins: 80,
            d_model: 128,
            encoder_layers: 3,
            encoder_attention_heads: 4,
            encoder_ffn_dim: 384,
            hidden_size: 128,
            intermediate_size: 352,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 2,
        }
    }
}

/// What a row of base training asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Caption,
    Open,
    Choice,
    Repeat,
}

impl BaseConfig {
    /// What is wrong with the values of `[base]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("base");
        let weights = [
            ("caption", self.caption),
            ("open", self.open),
            ("choice", self.choice),
            ("repeat", self.repeat),
        ];
        problems.not_negative(weights);
        let none = weights.iter().all(|(_, weight)| *weight == 0.0);
        problems.require(!none, "choice", "and the other shares are all 0");
        problems.shares([("refusal_share", self.refusal_share), ("frequency_mask", self.frequency_mask)]);
        let known = self.difficulties.iter().all(|name| ["easy", "medium", "hard"].contains(&name.as_str()));
        problems.require(known, "difficulties", "may hold easy, medium and hard");
        problems.into_vec()
    }

    fn draw(&self, rng: &mut Rng) -> Task {
        let shares = [
            (self.caption, Task::Caption),
            (self.open, Task::Open),
            (self.choice, Task::Choice),
            (self.repeat, Task::Repeat),
        ];
        let mut point = rng.uniform() * shares.iter().map(|(share, _)| share).sum::<f64>();
        for (share, task) in shares {
            if point < share {
                return task;
            }
            point -= share;
        }
        Task::Choice
    }
}

/// The rows of base training.
pub(crate) struct BaseRows<'a> {
    /// Endless clips and questions.
    pub stream: &'a Stream<'a>,
    /// The mix of tasks.
    pub config: &'a BaseConfig,
    /// The features that the model wants.
    pub mel: &'a FeatureExtractor,
    /// The phrase that is only ever repeated.
    pub refusal: &'a str,
    /// The run's seed.
    pub seed: u64,
}

impl BaseRows<'_> {
    /// The rows of one step, rendered in parallel; the same for any number of threads.
    pub(crate) fn batch(&self, step: usize, batch_size: usize) -> Vec<Example> {
        (0..batch_size).into_par_iter().map(|slot| self.row(step * batch_size + slot)).collect()
    }

    fn row(&self, index: usize) -> Example {
        let mut rng = Rng::new(derive_seed(self.seed, "base-row", &[&index.to_string()]));
        let item = self.item(index as u64);
        let task = self.config.draw(&mut rng);
        let (text, target) = self.prompt_and_target(task, &item, index, &mut rng);
        let with_audio = task != Task::Repeat || rng.uniform() < 0.5;
        let audio = with_audio.then(|| Clip::of_mel(self.features(&item, &mut rng), self.mel));
        Example {
            id: format!("base-{index}"),
            audio: audio.into_iter().collect(),
            messages: vec![Message::user(usize::from(with_audio), &text)],
            target,
        }
    }

    /// The first item of a wanted difficulty among those that belong to this row.
    fn item(&self, index: u64) -> ComposedItem {
        let wanted = &self.config.difficulties;
        let mut item = self.stream.item(self.seed, index * DRAWS_PER_ROW);
        for draw in 1..DRAWS_PER_ROW {
            if wanted.is_empty() || wanted.contains(&item.question.difficulty) {
                break;
            }
            item = self.stream.item(self.seed, index * DRAWS_PER_ROW + draw);
        }
        item
    }

    fn prompt_and_target(
        &self,
        task: Task,
        item: &ComposedItem,
        index: usize,
        rng: &mut Rng,
    ) -> (String, String) {
        let question = &item.question;
        match task {
            Task::Caption => (CAPTION_PROMPT.to_owned(), item.caption.clone()),
            Task::Open => (question.question.clone(), question.answer.clone()),
            Task::Choice => {
                let order = derive_seed(self.seed, "base-options", &[&index.to_string()]);
                (prompt_text(&shuffled(question, order), PromptStyle::Lettered), question.answer.clone())
            }
            Task::Repeat => {
                let phrase = if rng.uniform() < self.config.refusal_share {
                    self.refusal.to_owned()
                } else if rng.uniform() < 0.5 {
                    item.caption.clone()
                } else {
                    question.answer.clone()
                };
                (format!("{REPEAT_PROMPT}{phrase}"), phrase)
            }
        }
    }

    fn features(&self, item: &ComposedItem, rng: &mut Rng) -> LogMel {
        let mut mel = self.mel.log_mel(&item.samples);
        if rng.uniform() < self.config.frequency_mask {
            blank_bands(&mut mel, rng);
        }
        mel
    }
}

/// Items of the stream that a row may look at; enough that hardly any row misses its difficulty.
const DRAWS_PER_ROW: u64 = 16;
/// Instruction of the captioning rows.
pub(crate) const CAPTION_PROMPT: &str = "Describe the audio.";
/// Instruction of the repeat rows; the phrase follows.
pub(crate) const REPEAT_PROMPT: &str = "Repeat this phrase: ";
/// At most this share of the mel channels is blanked at once.
const MAX_BLANKED_SHARE: f64 = 0.15;

/// Sets a random run of mel channels to the clip's lowest value.
fn blank_bands(mel: &mut LogMel, rng: &mut Rng) {
    let width = 1 + rng.below(((mel.bands as f64 * MAX_BLANKED_SHARE) as usize).max(1));
    let first = rng.below(mel.bands.saturating_sub(width).max(1));
    let floor = mel.data.iter().copied().fold(f32::INFINITY, f32::min);
    let columns = mel.frames;
    for value in mel.data.iter_mut().skip(first * columns).take(width * columns) {
        *value = floor;
    }
}

impl InitConfig {
    /// What is wrong with the values of `[init]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("init");
        problems.at_least_one([
            ("num_mel_bins", self.num_mel_bins),
            ("d_model", self.d_model),
            ("encoder_layers", self.encoder_layers),
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("encoder_ffn_dim", self.encoder_ffn_dim),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
        ]);
        problems.into_vec()
    }

    /// The `config.json` of a new model of these sizes; everything else as in Qwen2-Audio-7B.
    pub fn config_json(&self, tokenizer: &LalmTokenizer) -> Value {
        json!({
            "architectures": ["Qwen2AudioForConditionalGeneration"],
            "model_type": "qwen2_audio",
            "audio_token_index": tokenizer.audio_id(),
            "vocab_size": tokenizer.vocab_size(),
            "audio_config": {
                "model_type": "qwen2_audio_encoder",
                "num_mel_bins": self.num_mel_bins,
                "d_model": self.d_model,
                "encoder_layers": self.encoder_layers,
                "encoder_attention_heads": self.encoder_attention_heads,
                "encoder_ffn_dim": self.encoder_ffn_dim,
                "max_source_positions": WINDOW_POSITIONS,
            },
            "text_config": {
                "model_type": "qwen2",
                "vocab_size": tokenizer.vocab_size(),
                "hidden_size": self.hidden_size,
                "intermediate_size": self.intermediate_size,
                "num_hidden_layers": self.num_hidden_layers,
                "num_attention_heads": self.num_attention_heads,
                "num_key_value_heads": self.num_key_value_heads,
                "max_position_embeddings": MAX_POSITIONS,
                "rms_norm_eps": 1e-5,
                "rope_theta": 10_000.0,
                "tie_word_embeddings": false,
                "eos_token_id": tokenizer.eos_id(),
                "pad_token_id": tokenizer.pad_id(),
            },
        })
    }

    /// The feature extractor's settings: the 7B's 30 s window with this model's number of mel channels.
    pub fn mel_config(&self) -> MelConfig {
        MelConfig {
            feature_size: self.num_mel_bins,
            sampling_rate: SAMPLE_RATE_HZ,
            hop_length: 160,
            n_fft: 400,
            chunk_length: 30,
        }
    }
}

/// Encoder positions of a 30 s window, as in Qwen2-Audio-7B, so that other servers take the model as it is.
const WINDOW_POSITIONS: usize = 1500;
/// Room for one full window (750 audio tokens) with its question and answer.
const MAX_POSITIONS: usize = 2048;
/// What Whisper's features are defined for.
const SAMPLE_RATE_HZ: usize = 16_000;
