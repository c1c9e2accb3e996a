//! A new model: sizes, tokenizer, random weights.

use std::path::Path;

use idk_audio::MelConfig;
use idk_benchmark::Bank;
use idk_common::{Problem, Problems};
use idk_model::{Device, Lalm, LalmConfig, LalmTokenizer};
use idk_questions::{PromptStyle, REFUSAL, prompt_text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bpe::train_word_bpe;
use crate::error::PretrainError;
use crate::rows::{CAPTION_PROMPT, REPEAT_PROMPT};
use crate::say;

/// Most ids of a new tokenizer.
const VOCAB_LIMIT: usize = 2048;

/// `[init]`: the sizes of a model that starts from random weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InitConfig {
    /// Mel channels of the log-mel features.
    pub(crate) num_mel_bins: usize,
    /// Width of the audio encoder.
    pub(crate) d_model: usize,
    /// Layers of the audio encoder.
    pub(crate) encoder_layers: usize,
    /// Attention heads of the audio encoder.
    pub(crate) encoder_attention_heads: usize,
    /// Width of the encoder's feed-forward layers.
    pub(crate) encoder_ffn_dim: usize,
    /// Width of the language model.
    pub(crate) hidden_size: usize,
    /// Width of the language model's feed-forward layers.
    pub(crate) intermediate_size: usize,
    /// Layers of the language model.
    pub(crate) num_hidden_layers: usize,
    /// Query heads of the language model.
    pub(crate) num_attention_heads: usize,
    /// Key and value heads of the language model.
    pub(crate) num_key_value_heads: usize,
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

impl InitConfig {
    /// What is wrong with the values of `[init]`, all of it.
    pub(crate) fn problems(&self) -> Vec<Problem> {
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
    fn config_json(&self, tokenizer: &LalmTokenizer) -> Value {
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
    fn mel_config(&self) -> MelConfig {
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

/// A model of random weights whose tokenizer knows every word that the bank's questions can hold.
///
/// # Errors
/// Sizes that do not fit together; a vocabulary without room for the bytes; a device that is not there.
pub(crate) fn new_model(
    init: &InitConfig,
    bank: &Bank,
    seed: u64,
    device: &Device,
) -> Result<Lalm, PretrainError> {
    let mut texts = idk_benchmark::vocabulary(bank);
    texts.extend(
        [
            CAPTION_PROMPT,
            REPEAT_PROMPT,
            REFUSAL,
            "Audio 1: user\nassistant\nsystem\n",
            "You are a helpful assistant.",
        ]
        .map(str::to_owned),
    );
    texts.push(prompt_header());
    let bpe = train_word_bpe(&texts, VOCAB_LIMIT)?;
    if !bpe.split_words.is_empty() {
        say(&format!("{} words stay in pieces: the vocabulary is full", bpe.split_words.len()));
    }
    let tokenizer = LalmTokenizer::from_bytes(bpe.tokenizer_json, bpe.tokenizer_config_json)?;
    let config = LalmConfig::from_value(Path::new("[init]"), &init.config_json(&tokenizer))?;
    Ok(Lalm::init(config, tokenizer, init.mel_config(), seed, device)?)
}

/// The words that every lettered prompt has, whatever the question.
fn prompt_header() -> String {
    let question = idk_questions::Question {
        choices: ["x", "y", "z", "w"].map(str::to_owned).to_vec(),
        ..idk_questions::Question::default()
    };
    prompt_text(&question, PromptStyle::Lettered)
}
