//! The recipe: one TOML file, read once, every mistake reported at once with its line.
//!
//! Each section is a struct of the crate that uses it; here they are only read, checked and resolved.

mod check;
mod read;

use std::path::{Path, PathBuf};

use idk_common::{Problem, Problems};
use idk_dataset_builder::BuildConfig;
use idk_evaluator::EvalConfig;
use idk_model::{LoraConfig, RunSettings, WeightDtype};
use idk_questions::DuplicateChoices;
use idk_trainer::{DpoConfig, TrainConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{BaseConfig, InitConfig};
use crate::error::{RecipeError, RecipeProblem};
use crate::sweep::SweepConfig;
use crate::transfer::TransferConfig;
use read::{SectionReader, apply_override, check_top_level, key_lines, parse_toml};

pub use read::Places;

/// A model's kernels gain nothing from wider steps.
const MAX_PAD_TO: usize = 1024;

/// `[model]`: the base model and where it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// Folder in the Hugging Face layout. Default: the embedded `checkpoints/mini-lalm`.
    pub path: PathBuf,
    /// `cpu`, `cuda`, `cuda:N` or `wgpu`. Default `cpu`.
    pub device: String,
    /// Type of the base model's weights: "f32", "bf16", or "auto", which is f32 on the CPU and, on a GPU, bf16 if they are
    /// stored in 16 bits. Norms, softmax, loss and LoRA are f32 in any case, as is everything when a whole model is
    /// trained. Default "auto".
    pub dtype: WeightDtype,
    /// Pad sequences to a multiple of this many tokens, so that a GPU meets few shapes and its kernels are compiled and
    /// chosen once; results change by rounding only. 0 is 64 on a GPU and 1 (no padding) on the CPU. Default 0.
    pub pad_to: usize,
    /// Folder for what a GPU's kernels are compiled to and for which of them turned out fastest, shared by all runs: a
    /// first start on a machine compiles for minutes, later ones do not. Default "": `$XDG_CACHE_HOME/idk/kernels`, or
    /// `~/.cache/idk/kernels`.
    pub kernel_cache_dir: PathBuf,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            path: PathBuf::from("checkpoints/mini-lalm"),
            device: "cpu".to_owned(),
            dtype: WeightDtype::Auto,
            pad_to: 0,
            kernel_cache_dir: PathBuf::new(),
        }
    }
}

impl ModelSection {
    /// What is wrong with the values of `[model]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("model");
        problems.require(!self.path.as_os_str().is_empty(), "path", "must name a folder");
        problems.require(self.pad_to <= MAX_PAD_TO, "pad_to", format!("must be at most {MAX_PAD_TO} tokens"));
        problems.into_vec()
    }
}

/// `[data]`: the question sets. `bank:SPLIT` renders a split of the built-in recordings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSection {
    /// Questions that are sampled, labelled and trained on: `bank:idk` or a question file.
    pub train: String,
    /// Questions to choose by, such as `bank:val`; neither the training nor the test questions. `threshold` in [eval] is
    /// fitted on them, whatever their task. With `eval_every` of 1 or more in [train] those of the recipe's `tasks` are
    /// answered while training, every so many steps and after the last one; with 0 training leaves them alone, as
    /// answering them takes a while. Default: none.
    pub val: String,
    /// Questions that the evaluator answers. Default `bank:test`.
    pub test: String,
    /// Tasks of the training and validation questions (`sound`, `music`, `speech`); all when empty.
    pub tasks: Vec<String>,
    /// Folder of recordings with a `manifest.jsonl`; the built-in bank when empty.
    pub bank: String,
    /// Seed of the questions that are rendered from the bank, apart from the run's own seed, so that runs
    /// with different seeds answer the same questions.
    pub seed: u64,
    /// How many training questions of each task are rendered from the bank. Default: the split's own number.
    pub train_questions: Option<usize>,
    /// The same for a `val` that is a split of the bank, which has few questions of its own; of every task of the bank,
    /// whatever `tasks` says. Default: the split's own number.
    pub val_questions: Option<usize>,
    /// At most this many questions of each task, for a quick look.
    pub limit_per_task: Option<usize>,
    /// Questions with an option that is there twice: `reject` them, or `merge` the equal options. Default `reject`.
    pub duplicate_choices: DuplicateChoices,
    /// How many annotators must give an answer for it to count, in sets that list the answers of several. Default 2.
    pub agreement: usize,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            train: "bank:idk".to_owned(),
            val: String::new(),
            test: "bank:test".to_owned(),
            tasks: Vec::new(),
            bank: String::new(),
            seed: 0,
            train_questions: None,
            val_questions: None,
            limit_per_task: None,
            duplicate_choices: DuplicateChoices::default(),
            agreement: 2,
        }
    }
}

impl DataSection {
    /// What is wrong with the values of `[data]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("data");
        problems.at_least_one([
            ("train_questions", self.train_questions.unwrap_or(1)),
            ("val_questions", self.val_questions.unwrap_or(1)),
            ("limit_per_task", self.limit_per_task.unwrap_or(1)),
            ("agreement", self.agreement),
        ]);
        let apart = self.val.is_empty() || ![&self.train, &self.test].contains(&&self.val);
        problems.require(apart, "val", "must be other questions than `train` and `test`");
        problems.into_vec()
    }
}

/// `[output]`: the run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputSection {
    /// Folder of the run; made when missing. Default `runs/default`.
    pub dir: PathBuf,
}

impl Default for OutputSection {
    fn default() -> Self {
        Self { dir: PathBuf::from("runs/default") }
    }
}

impl OutputSection {
    /// What is wrong with the values of `[output]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("output");
        problems.require(!self.dir.as_os_str().is_empty(), "dir", "must name a folder");
        problems.into_vec()
    }
}

/// A whole recipe with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Default)]
pub struct Recipe {
    /// Seed of everything random in the run.
    pub seed: u64,
    /// The base model.
    pub model: ModelSection,
    /// The question sets.
    pub data: DataSection,
    /// How the IDK dataset is sampled and labelled.
    pub build: BuildConfig,
    /// The adapter.
    pub lora: LoraConfig,
    /// The optimiser and its schedule.
    pub train: TrainConfig,
    /// Preferences, for `method = "dpo"` in [train].
    pub dpo: DpoConfig,
    /// The evaluator.
    pub eval: EvalConfig,
    /// The run folder.
    pub output: OutputSection,
    /// Present when the recipe trains a base model with all its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseConfig>,
    /// Present when that base model starts from random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<InitConfig>,
    /// Present when the recipe is a cross-modal experiment of several runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferConfig>,
    /// Present when the recipe says what its sweeps go through; with `k` it is an experiment of several runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepConfig>,
}

/// The names of the sections, in the order of the file.
pub const SECTIONS: [&str; 12] =
    ["model", "data", "build", "lora", "train", "dpo", "eval", "output", "base", "init", "transfer", "sweep"];

impl Recipe {
    /// How the base model is held in memory and run.
    pub fn run_settings(&self) -> RunSettings {
        let ModelSection { dtype, pad_to, .. } = self.model;
        RunSettings { dtype, pad_to, recompute: self.train.recompute }
    }

    /// Reads a recipe file and applies `--set section.key=value` overrides in order.
    ///
    /// # Errors
    /// [`RecipeError`] with every problem found: TOML syntax, unknown sections and keys (with the nearest
    /// known name) and values of the wrong type, each with its line.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, RecipeError> {
        let text = idk_common::fs::read_to_string(path)
            .map_err(|source| RecipeError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path, overrides)
    }

    /// Like [`Recipe::load`] for a text that is already in memory; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self, RecipeError> {
        let mut problems = Vec::new();
        let mut places = key_lines(text);
        let mut values = parse_toml(text, path, &places, &mut problems)?;
        for assignment in overrides {
            apply_override(assignment, &mut values, &mut places, &mut problems);
        }
        check_top_level(&values, &places, &mut problems);
        let seed = values.get("seed").map_or(Some(0), Value::as_u64).unwrap_or_else(|| {
            let problem = Problem::of_key("", "seed", "must be a whole number, 0 or above");
            problems.push(RecipeProblem::at(&places, problem));
            0
        });
        let mut reader = SectionReader { values: &values, places: &places, problems: &mut problems };
        let recipe = Self {
            seed,
            model: reader.section("model"),
            data: reader.section("data"),
            build: reader.section("build"),
            lora: reader.section("lora"),
            train: reader.section("train"),
            dpo: reader.section("dpo"),
            eval: reader.section("eval"),
            output: reader.section("output"),
            base: values.contains_key("base").then(|| reader.section("base")),
            init: values.contains_key("init").then(|| reader.section("init")),
            transfer: values.contains_key("transfer").then(|| reader.section("transfer")),
            sweep: values.contains_key("sweep").then(|| reader.section("sweep")),
        };
        recipe.check_values(&places, &mut problems);
        if problems.is_empty() {
            Ok(recipe)
        } else {
            problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
            Err(RecipeError::Invalid { path: path.to_owned(), problems })
        }
    }

    /// The recipe as TOML with every default written out.
    ///
    /// # Errors
    /// [`RecipeError::Unprintable`] if a value has no TOML form (never for a recipe that was read).
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        toml::to_string(self).map_err(|error| RecipeError::Unprintable { what: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, overrides: &[&str]) -> Result<Recipe, RecipeError> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        Recipe::parse(text, Path::new("r.toml"), &overrides)
    }

    #[test]
    fn an_empty_recipe_is_all_defaults() {
        assert_eq!(parse("", &[]).unwrap(), Recipe::default());
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_line_and_suggestion() {
        let text = "sed = 1\n[lora]\nrnak = 8\nalpha = \"big\"\n[trian]\n";
        let error = parse(text, &["build.k=99"]).unwrap_err();
        let RecipeError::Invalid { problems, .. } = &error else { panic!("{error}") };
        let seen: Vec<_> = problems.iter().map(|p| (p.line, p.problem.key.as_str())).collect();
        assert_eq!(
            seen,
            [
                (Some(1), "sed"),
                (Some(3), "lora.rnak"),
                (Some(4), "lora.alpha"),
                (Some(5), "trian"),
                (None, "build.k")
            ]
        );
        let text = error.to_string();
        assert!(text.contains("did you mean `rank`?"), "{text}");
        assert!(text.contains("did you mean `train`?"), "{text}");
    }

    #[test]
    fn set_overrides_the_file_and_takes_bare_words_as_strings() {
        let recipe =
            parse("[model]\ndevice = \"cuda\"\n", &["model.device=cpu", "lora.rank=4", "seed=9"]).unwrap();
        assert_eq!(recipe.model.device, "cpu");
        assert_eq!(recipe.lora.rank, 4);
        assert_eq!(recipe.seed, 9);
    }

    #[test]
    fn a_printed_recipe_reads_back_as_the_same_recipe() {
        let recipe = parse("seed = 3\n[data]\ntasks = [\"sound\"]\n[lora]\nrank = 2\n", &[]).unwrap();
        let printed = recipe.to_toml().unwrap();
        assert_eq!(parse(&printed, &[]).unwrap(), recipe);
    }

    #[test]
    fn what_is_chosen_by_must_be_measured() {
        let text = "[data]\ntrain = \"a.json\"\nval = \"a.json\"\n[dpo]\nbeta = 0\n";
        let RecipeError::Invalid { problems, .. } = parse(text, &[]).unwrap_err() else { panic!("invalid") };
        let seen: Vec<_> = problems.iter().map(|p| (p.line, p.problem.key.as_str())).collect();
        assert_eq!(seen, [(Some(3), "data.val"), (Some(5), "dpo.beta")]);

        let text = "[train]\neval_every = 5\nmetric_for_best = \"eval_rgi\"\ntarget_refusal_rate = 0.4\n";
        let RecipeError::Invalid { problems, .. } = parse(text, &[]).unwrap_err() else { panic!("invalid") };
        let seen: Vec<_> = problems.iter().map(|p| (p.line, p.problem.key.as_str())).collect();
        assert_eq!(seen, [(Some(3), "train.metric_for_best"), (Some(4), "train.target_refusal_rate")]);
        assert!(parse(text, &["data.val=bank:val"]).is_ok());
        let margins = ["train.metric_for_best=eval_rewards/margins", "data.val=bank:val"];
        assert!(parse(text, &margins).is_err());
        assert!(parse(text, &[&margins[..], &["train.method=dpo"]].concat()).is_ok());
    }

    #[test]
    fn a_threshold_needs_questions_to_be_fitted_on_and_the_earlier_key_says_where_they_are_named_now() {
        let text = "[eval]\nmethods = [\"threshold\"]\n";
        let RecipeError::Invalid { problems, .. } = parse(text, &[]).unwrap_err() else { panic!("invalid") };
        assert_eq!((problems[0].line, problems[0].problem.key.as_str()), (Some(2), "eval.methods"));
        assert!(parse(text, &["data.val=bank:val"]).is_ok());
        let error = parse("[eval]\nval = \"bank:val\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("r.toml:2: unknown key `val` in [eval]"), "{error}");
        assert!(error.contains("did you mean `val` in [data]?"), "{error}");
    }

    #[test]
    fn broken_toml_names_its_line() {
        let error = parse("seed = 1\n[lora\n", &[]).unwrap_err().to_string();
        assert!(error.contains("r.toml:2"), "{error}");
    }
}
