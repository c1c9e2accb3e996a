//! The recipe: one TOML file, read once, every mistake reported at once with its line.
//!
//! Each section is a struct of the crate that uses it; here they are only read, checked and resolved.

mod check;
mod error;
mod experiments;
pub(crate) mod key_sections;
mod read;
pub(crate) mod renamed;
mod sections;

use std::path::Path;

use idk_common::Problem;
use idk_common::limits::MAX_RECIPE_BYTES;
use idk_common::paths::find;
use idk_dataset_builder::{BuildConfig, Sampler};
use idk_evaluator::EvalConfig;
use idk_model::{LoraConfig, RunSettings};
use idk_trainer::{CalibratedConfig, DpoConfig, MethodConfig, MethodKind, RlConfig, TrainConfig};
use serde::Serialize;
use serde_json::Value;

use read::{SectionReader, apply_override, check_top_level, key_lines, parse_toml};

pub(crate) use error::hint_line;
pub use error::{RecipeError, RecipeProblem};
pub use experiments::{SweepConfig, TransferConfig};
pub use read::KeyLines;
pub(crate) use sections::same_questions;
pub use sections::{DataSection, ModelSection, OutputSection};

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
    /// Weights of the loss, for `method = "calibrated"` in [train].
    pub calibrated: CalibratedConfig,
    /// Rewards and samples, for `method = "rl"` in [train].
    pub rl: RlConfig,
    /// The evaluator.
    pub eval: EvalConfig,
    /// The run folder.
    pub output: OutputSection,
    /// Present when the recipe is a cross-modal experiment of several runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferConfig>,
    /// Present when the recipe says what its sweeps go through; with `k` it is an experiment of several runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepConfig>,
}

/// The names of the sections, in the order of the file.
pub const SECTIONS: [&str; 12] = [
    "model",
    "data",
    "build",
    "lora",
    "train",
    "dpo",
    "calibrated",
    "rl",
    "eval",
    "output",
    "transfer",
    "sweep",
];

impl Recipe {
    /// The method of training, with its section.
    pub fn method(&self) -> MethodConfig<'_> {
        match self.train.method {
            MethodKind::Sft => MethodConfig::Sft,
            MethodKind::Dpo => MethodConfig::Dpo(&self.dpo),
            MethodKind::Calibrated => MethodConfig::Calibrated(&self.calibrated),
            MethodKind::Rl => MethodConfig::Rl(&self.rl),
        }
    }

    /// How the base model is held in memory and run.
    pub fn run_settings(&self) -> RunSettings {
        let ModelSection { dtype, pad_to, .. } = self.model;
        RunSettings { dtype, pad_to, gradient_checkpointing: self.train.gradient_checkpointing }
    }

    /// Reads a recipe file and applies `--set section.key=value` overrides in order.
    ///
    /// # Errors
    /// [`RecipeError`] with every problem found: TOML syntax, unknown sections and keys (with the nearest
    /// known name) and values of the wrong type, each with its line.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, RecipeError> {
        let text = idk_common::fs::read_text_limited(path, MAX_RECIPE_BYTES)
            .map_err(|source| RecipeError::Unreadable { path: path.to_owned(), source })?;
        let mut recipe = Self::parse(&text, path, overrides)?;
        if recipe.model.has_folder() {
            recipe.model.path = find(&recipe.model.path, Some(path));
        }
        recipe.data.recipe = Some(path.to_owned());
        Ok(recipe)
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
        let mut recipe = Self {
            seed,
            model: reader.section("model"),
            data: reader.section("data"),
            build: reader.section("build"),
            lora: reader.section("lora"),
            train: reader.section("train"),
            dpo: reader.section("dpo"),
            calibrated: reader.section("calibrated"),
            rl: reader.section("rl"),
            eval: reader.section("eval"),
            output: reader.section("output"),
            transfer: values.contains_key("transfer").then(|| reader.section("transfer")),
            sweep: values.contains_key("sweep").then(|| reader.section("sweep")),
        };
        recipe.take_server(values.get("model").is_some_and(|model| model.get("path").is_some()));
        recipe.check_values(&places, &mut problems);
        if problems.is_empty() {
            Ok(recipe)
        } else {
            problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
            Err(RecipeError::Invalid { path: path.to_owned(), problems })
        }
    }

    /// A model that a server has is sampled there, and has no folder unless one `is_named`.
    fn take_server(&mut self, is_named: bool) {
        let model = &mut self.model;
        if model.server_url.is_empty() {
            return;
        }
        if !is_named {
            model.path.clear();
        }
        let build = &mut self.build;
        if build.server_url.is_empty() {
            build.sampler = Sampler::OpenAi;
            build.server_url.clone_from(&model.server_url);
            build.server_model.clone_from(&model.server_model);
            build.server_key_env.clone_from(&model.server_key_env);
            build.server_concurrency = model.server_concurrency;
            build.server_timeout_s = model.server_timeout_s;
            build.server_max_retries = model.server_max_retries;
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
    fn an_override_reaches_a_section_inside_another_and_leaves_its_other_keys() {
        let text = "[eval.probe]\nl2 = 3.0\n";
        let recipe = parse(text, &["eval.probe.layers=[2]", "eval.judge.max_new_tokens=9"]).unwrap();
        assert_eq!((recipe.eval.probe.l2, recipe.eval.probe.layers), (3.0, vec![2]));
        assert_eq!(recipe.eval.judge.max_new_tokens, 9);
        let error = parse("", &["eval.probe.layer=[2]"]).unwrap_err().to_string();
        assert!(error.contains("unknown key `layer` in [eval.probe]"), "{error}");
        let error = parse("", &["seed.probe.layer=2"]).unwrap_err().to_string();
        assert!(error.contains("seed"), "{error}");
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
    fn a_key_without_its_section_or_in_another_one_is_suggested_where_it_belongs() {
        for (set, hint) in [
            ("epochs=1", "did you mean `train.epochs`?"),
            ("lora.epochs=1", "did you mean `train.epochs`?"),
            ("optimizer.learning_rate=1", "did you mean `train.learning_rate`?"),
            ("batch_size=1", "`train.batch_size`"),
            ("lora.rnak=1", "did you mean `rank`?"),
            ("trian.epochs=1", "did you mean `train`?"),
            ("sed=1", "did you mean `seed`?"),
            ("zebra=1", "known here: model, data"),
        ] {
            let RecipeError::Invalid { problems, .. } = parse("", &[set]).unwrap_err() else {
                panic!("{set}")
            };
            let found = problems[0].problem.hint.clone().unwrap_or_default();
            assert!(found.contains(hint), "{set}: {found}");
        }
        let error = parse("epochs = 2\n", &[]).unwrap_err().to_string();
        assert!(
            error.contains("r.toml:1: unknown key `epochs`") && error.contains("`train.epochs`"),
            "{error}"
        );
    }

    #[test]
    fn a_value_of_another_kind_is_reported_in_plain_words() {
        for (set, said) in [
            (
                "lora.rank=big",
                "`rank` in [lora]: expected a whole number, 0 or above, found the text \"big\"",
            ),
            ("train.epochs=-1", "expected a whole number, 0 or above, found the number `-1`"),
            ("eval.shuffle_options=1", "expected true or false, found the number `1`"),
            ("data.tasks=sound", "expected a list, found the text \"sound\""),
            ("data.train=3", "expected a text, found the number `3`"),
        ] {
            let error = parse("", &[set]).unwrap_err().to_string();
            assert!(error.contains(said), "{set}: {error}");
        }
    }

    #[test]
    fn the_val_questions_are_neither_those_of_training_nor_of_the_test_under_any_path() {
        let dir = tempfile::tempdir().unwrap();
        let [file, other, link] = ["a.json", "b.json", "link.json"].map(|name| dir.path().join(name));
        idk_common::fs::write_atomic(&file, b"[]").unwrap();
        idk_common::fs::write_atomic(&other, b"[]").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let roundabout = dir.path().join("./../").join(dir.path().file_name().unwrap()).join("a.json");
        let is_accepted = |sets: [(&str, &Path); 2]| {
            let sets = sets.map(|(key, path)| format!("data.{key}='{}'", path.display()));
            Recipe::parse("", Path::new("r.toml"), &sets).is_ok()
        };
        for same in [&file, &link, &roundabout] {
            for key in ["train", "test"] {
                assert!(is_accepted([(key, &other), ("val", same)]));
                assert!(!is_accepted([(key, &file), ("val", same)]), "{key}, {same:?}");
            }
            assert!(same_questions(&file.display().to_string(), &same.display().to_string()));
            assert!(!same_questions(&other.display().to_string(), &same.display().to_string()));
        }
        assert!(
            same_questions("missing.json", "missing.json") && !same_questions("missing.json", "none.json")
        );
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
        assert!(error.contains("its name is now `val` in [data]"), "{error}");
    }

    #[test]
    fn broken_toml_names_its_line() {
        let error = parse("seed = 1\n[lora\n", &[]).unwrap_err().to_string();
        assert!(error.contains("r.toml:2"), "{error}");
    }
}
