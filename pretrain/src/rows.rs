//! The rows that a base model is trained on, rendered as they are needed.
//!
//! Every row is a pure function of (seed, row index): the clip, the question, the task and the
//! augmentation. The refusal phrase is only ever a phrase to repeat, never an answer about audio.

use idk_audio::LogMel;
use idk_benchmark::{ComposedItem, Stream};
use idk_common::seed::{Rng, derive_seed};
use idk_common::{Problem, Problems};
use idk_model::{FeatureExtractor, Message};
use idk_questions::{PromptStyle, REFUSAL, prompt_text, shuffled};
use idk_trainer::{Clip, TrainingRow};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// `[base]`: the mix of tasks that a base model is trained on. Shares are relative weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BaseConfig {
    /// Share of "describe the audio" rows.
    pub(crate) caption: f64,
    /// Share of questions without options.
    pub(crate) open: f64,
    /// Share of questions with four options, in a fresh order each time.
    pub(crate) choice: f64,
    /// Share of "repeat this phrase" rows, half of them with a clip.
    pub(crate) repeat: f64,
    /// Share of the repeat rows whose phrase is the refusal.
    pub(crate) refusal_share: f64,
    /// Difficulties that are trained on; all when empty. Hearing starts sooner on clear clips.
    pub(crate) difficulties: Vec<String>,
    /// Number format of the weights on disk: `f32` or `bf16`.
    pub(crate) dtype: Dtype,
    /// Share of the clips in which a band of mel channels is blanked (SpecAugment, Park et al. 2019).
    pub(crate) frequency_mask: f64,
    /// Validation questions of each modality that accuracy is measured on. Default: all 120.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) val_questions: Option<usize>,
}

/// Number format of saved weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dtype {
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
            val_questions: None,
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
    pub(crate) fn problems(&self) -> Vec<Problem> {
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
        problems.at_least_one([("val_questions", self.val_questions.unwrap_or(1) as u64)]);
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
    pub(crate) stream: &'a Stream<'a>,
    /// The mix of tasks.
    pub(crate) config: &'a BaseConfig,
    /// The features that the model wants.
    pub(crate) mel: &'a FeatureExtractor,
    /// The run's seed.
    pub(crate) seed: u64,
}

impl BaseRows<'_> {
    /// The rows of one step, rendered in parallel; the same for any number of threads.
    pub(crate) fn batch(&self, step: usize, batch_size: usize) -> Vec<TrainingRow> {
        (0..batch_size).into_par_iter().map(|slot| self.row(step * batch_size + slot)).collect()
    }

    fn row(&self, index: usize) -> TrainingRow {
        let mut rng = Rng::new(derive_seed(self.seed, "base-row", &[&index.to_string()]));
        let item = self.item(index as u64);
        let task = self.config.draw(&mut rng);
        let (text, target) = self.prompt_and_target(task, &item, index, &mut rng);
        let with_audio = task != Task::Repeat || rng.uniform() < 0.5;
        let audio = with_audio.then(|| Clip::of_mel(self.features(&item, &mut rng), self.mel));
        TrainingRow {
            id: format!("base-{index}"),
            audio: audio.into_iter().collect(),
            messages: vec![Message::user(usize::from(with_audio), &text)],
            answers: vec![target],
            error_rate: None,
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
                    REFUSAL.to_owned()
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
