//! The recipe: one TOML file, read once, every mistake reported at once with its line.
//!
//! Each section is a struct of the crate that uses it; this file only reads, checks and resolves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_dataset_builder::BuildConfig;
use idk_evaluator::EvalConfig;
use idk_model::{LoraConfig, RunSettings, WeightDtype};
use idk_questions::DuplicateChoices;
use idk_trainer::{BestMetric, DpoConfig, Method, TrainConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::{BaseConfig, InitConfig};
use crate::error::{RecipeError, RecipeProblem};
use crate::transfer::TransferConfig;

/// `[model]`: the base model and where it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// Folder in the Hugging Face layout. Default: the embedded `checkpoints/mini-lalm`.
    pub path: PathBuf,
    /// `cpu`, `cuda` or `cuda:N`. Default `cpu`.
    pub device: String,
    /// Type of the base model's weights: "f32", "bf16", or "auto", which is f32 on the CPU and, on a GPU, bf16 if they are
    /// stored in 16 bits. Norms, softmax, loss and LoRA are f32 in any case, as is everything when a whole model is
    /// trained. Default "auto".
    pub dtype: WeightDtype,
    /// Pad sequences to a multiple of this many tokens, so that a GPU meets few shapes and its kernels are compiled and
    /// chosen once; results change by rounding only. 0 is 64 on a GPU and 1 (no padding) on the CPU. Default 0.
    pub pad_to: usize,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            path: PathBuf::from("checkpoints/mini-lalm"),
            device: "cpu".to_owned(),
            dtype: WeightDtype::Auto,
            pad_to: 0,
        }
    }
}

/// `[data]`: the question sets. `bank:SPLIT` renders a split of the built-in recordings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSection {
    /// Questions that are sampled, labelled and trained on: `bank:idk` or a question file.
    pub train: String,
    /// Questions that are answered every `eval_every` steps of the training, such as `bank:val`; neither the training
    /// nor the test questions. Default: none.
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
            limit_per_task: None,
            duplicate_choices: DuplicateChoices::default(),
            agreement: 2,
        }
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
}

/// The names of the sections, in the order of the file.
pub const SECTIONS: [&str; 11] =
    ["model", "data", "build", "lora", "train", "dpo", "eval", "output", "base", "init", "transfer"];

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
        let text = idk_common::atomic::read_to_string(path)
            .map_err(|source| RecipeError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path, overrides)
    }

    /// Like [`Recipe::load`] for a text that is already in memory; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self, RecipeError> {
        let mut problems = Vec::new();
        let mut values = parse_toml(text, path)?;
        let mut places = key_lines(text);
        for assignment in overrides {
            if let Err(problem) = apply_override(assignment, &mut values, &mut places) {
                problems.push(problem);
            }
        }
        check_top_level(&values, &places, &mut problems);
        let seed = values.get("seed").map_or(Some(0), Value::as_u64).unwrap_or_else(|| {
            problems.push(RecipeProblem::at(&places, "seed", "`seed` must be a whole number, 0 or more"));
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
        };
        recipe.check_values(&places, &mut problems);
        if problems.is_empty() {
            Ok(recipe)
        } else {
            problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
            Err(RecipeError::Invalid { path: path.to_owned(), problems })
        }
    }

    /// Checks that need the meaning of a value, not only its type.
    fn check_values(&self, places: &Places, problems: &mut Vec<RecipeProblem>) {
        let of_sections = [("train", self.train.problems()), ("dpo", self.dpo.problems())];
        for (section, found) in of_sections {
            for problem in found {
                let key = format!("{section}.{}", problem.key);
                let message = format!("`{}` in [{section}] {}", problem.key, problem.message);
                problems.push(RecipeProblem::at(places, &key, &message));
            }
        }
        if let Err(idk_dataset_builder::BuildError::Config { key, what }) = self.build.check() {
            let message = format!("`{key}` in [build] {what}");
            problems.push(RecipeProblem::at(places, &format!("build.{key}"), &message));
        }
        if let Err(idk_evaluator::EvalError::Config { key, what }) = self.eval.check() {
            let message = format!("`{key}` in [eval] {what}");
            problems.push(RecipeProblem::at(places, &format!("eval.{key}"), &message));
        }
        if let Err(error) = self.lora.validate() {
            problems.push(RecipeProblem::at(places, "lora", &format!("[lora] {error}")));
        }
        let mut check = |ok: bool, key: &str, message: &str| {
            if !ok {
                problems.push(RecipeProblem::at(places, key, message));
            }
        };
        check(self.model.pad_to <= 1024, "model.pad_to", "`pad_to` must be at most 1024 tokens");
        check(
            self.data.limit_per_task != Some(0),
            "data.limit_per_task",
            "`limit_per_task` must be 1 or more",
        );
        check(
            self.data.val.is_empty() || ![&self.data.train, &self.data.test].contains(&&self.data.val),
            "data.val",
            "`val` in [data] must be other questions than `train` and `test`",
        );
        self.check_validation(&mut check);
        check(!self.output.dir.as_os_str().is_empty(), "output.dir", "`dir` in [output] must name a folder");
        check(self.init.is_none() || self.base.is_some(), "init", "[init] needs a [base] section beside it");
        check(self.data.agreement > 0, "data.agreement", "`agreement` must be 1 or more");
        if let Some(transfer) = &self.transfer {
            check(self.base.is_none(), "transfer", "[transfer] trains adapters; it does not go with [base]");
            for (key, message) in transfer.problems() {
                check(false, &format!("transfer.{key}"), &format!("`{key}` in [transfer] {message}"));
            }
        }
        if let Some(base) = &self.base {
            check(self.train.max_steps.is_some(), "train.max_steps", "a [base] recipe needs `max_steps`");
            for (key, message) in base.problems() {
                check(false, &format!("base.{key}"), &format!("`{key}` in [base] {message}"));
            }
        }
    }

    /// What is chosen by must be measured.
    fn check_validation(&self, check: &mut dyn FnMut(bool, &str, &str)) {
        let (train, questions) = (&self.train, !self.data.val.is_empty());
        let by_questions = [BestMetric::Acc, BestMetric::Rel, BestMetric::Rgi];
        let by_pairs = [BestMetric::RewardAccuracies, BestMetric::RewardMargins];
        let chosen_by =
            |metrics: &[BestMetric]| train.metric_for_best.is_some_and(|it| metrics.contains(&it));
        let key = "train.metric_for_best";
        check(!chosen_by(&by_questions) || questions, key, "this `metric_for_best` needs `val` in [data]");
        let dpo = train.method == Method::Dpo;
        check(!chosen_by(&by_pairs) || dpo, key, "this `metric_for_best` needs `method = \"dpo\"`");
        check(
            train.target_refusal_rate.is_none() || questions,
            "train.target_refusal_rate",
            "`target_refusal_rate` needs `val` in [data]",
        );
        check(
            self.base.is_none() || !train.selects(),
            "train",
            "a [base] recipe has no `metric_for_best` and no `target_refusal_rate`",
        );
    }

    /// The recipe as TOML with every default written out.
    ///
    /// # Errors
    /// [`RecipeError::Unprintable`] if a value has no TOML form (never for a recipe that was read).
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        toml::to_string(self).map_err(|error| RecipeError::Unprintable { what: error.to_string() })
    }
}

/// Where each `section.key` stands: a line of the file, or the `--set` that gave it.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<String, usize>);

impl Places {
    /// The line of a dotted key, if it stands in the file.
    pub fn line(&self, dotted_key: &str) -> Option<usize> {
        self.0.get(dotted_key).copied()
    }
}

fn parse_toml(text: &str, path: &Path) -> Result<Map<String, Value>, RecipeError> {
    let syntax = |line, message: String| RecipeError::Invalid {
        path: path.to_owned(),
        problems: vec![RecipeProblem { line, key: String::new(), message, hint: None }],
    };
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        syntax(line, format!("not valid TOML: {}", error.message()))
    })?;
    match serde_json::to_value(table) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(syntax(None, "a recipe is a table of sections".to_owned())),
        Err(error) => Err(syntax(None, error.to_string())),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn key_lines(text: &str) -> Places {
    let mut places = BTreeMap::new();
    if let Ok(table) = toml::de::DeTable::parse(text) {
        for (name, value) in table.get_ref() {
            let section = name.get_ref().to_string();
            places.insert(section.clone(), line_of(text, name.span().start));
            if let Some(keys) = value.get_ref().as_table() {
                for (key, _) in keys {
                    let line = line_of(text, key.span().start);
                    places.insert(format!("{section}.{}", key.get_ref()), line);
                }
            }
        }
    }
    Places(places)
}

/// Applies one `section.key=value`; the value is TOML, or a bare word taken as a string.
fn apply_override(
    assignment: &str,
    values: &mut Map<String, Value>,
    places: &mut Places,
) -> Result<(), RecipeProblem> {
    let wrong =
        |message: String| RecipeProblem { line: None, key: assignment.to_owned(), message, hint: None };
    let (dotted, text) = assignment
        .split_once('=')
        .ok_or_else(|| wrong(format!("`--set {assignment}` has no `=`: write section.key=value")))?;
    let (dotted, text) = (dotted.trim(), text.trim());
    let value = match toml::from_str::<toml::Table>(&format!("value = {text}")) {
        Ok(mut table) => table.remove("value"),
        Err(_) => Some(toml::Value::String(text.to_owned())),
    };
    let value = serde_json::to_value(value).map_err(|error| wrong(error.to_string()))?;
    places.0.remove(dotted);
    match dotted.split_once('.') {
        None => {
            values.insert(dotted.to_owned(), value);
        }
        Some((section, key)) => {
            let table = values.entry(section.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(table) = table else {
                return Err(wrong(format!("`{section}` is not a section")));
            };
            table.insert(key.to_owned(), value);
        }
    }
    Ok(())
}

fn check_top_level(values: &Map<String, Value>, places: &Places, problems: &mut Vec<RecipeProblem>) {
    let known = || SECTIONS.iter().copied().chain(["seed"]);
    for (name, value) in values {
        if !known().any(|section| section == name) {
            let what = if value.is_object() { "section" } else { "key" };
            problems.push(RecipeProblem {
                line: places.line(name),
                key: name.clone(),
                message: format!("unknown {what} `{name}`"),
                hint: Some(suggestion(name, known())),
            });
        } else if name != "seed" && !value.is_object() {
            problems.push(RecipeProblem::at(
                places,
                name,
                &format!("`{name}` must be a section: `[{name}]`"),
            ));
        }
    }
}

fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match idk_common::text::did_you_mean(word, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

struct SectionReader<'a> {
    values: &'a Map<String, Value>,
    places: &'a Places,
    problems: &'a mut Vec<RecipeProblem>,
}

impl SectionReader<'_> {
    /// Reads one section key by key onto its defaults, so that each wrong value is blamed on its own key.
    fn section<T: Default + Serialize + DeserializeOwned>(&mut self, section: &str) -> T {
        let defaults = match serde_json::to_value(T::default()) {
            Ok(Value::Object(map)) => map,
            _ => return T::default(),
        };
        let mut accepted = defaults.clone();
        let given = self.values.get(section).and_then(Value::as_object);
        for (key, value) in given.into_iter().flatten() {
            let dotted = format!("{section}.{key}");
            if !defaults.contains_key(key) {
                self.problems.push(RecipeProblem {
                    line: self.places.line(&dotted),
                    key: dotted,
                    message: format!("unknown key `{key}` in [{section}]"),
                    hint: Some(suggestion(key, defaults.keys().map(String::as_str))),
                });
                continue;
            }
            let mut trial = defaults.clone();
            trial.insert(key.clone(), value.clone());
            match serde_json::from_value::<T>(Value::Object(trial)) {
                Ok(_) => {
                    accepted.insert(key.clone(), value.clone());
                }
                Err(error) => {
                    let message = format!("`{key}` in [{section}]: {error}");
                    self.problems.push(RecipeProblem::at(self.places, &dotted, &message));
                }
            }
        }
        serde_json::from_value(Value::Object(accepted)).unwrap_or_default()
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
        let seen: Vec<_> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
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
        let seen: Vec<_> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
        assert_eq!(seen, [(Some(3), "data.val"), (Some(5), "dpo.beta")]);

        let text = "[train]\neval_every = 5\nmetric_for_best = \"eval_rgi\"\ntarget_refusal_rate = 0.4\n";
        let RecipeError::Invalid { problems, .. } = parse(text, &[]).unwrap_err() else { panic!("invalid") };
        let seen: Vec<_> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
        assert_eq!(seen, [(Some(3), "train.metric_for_best"), (Some(4), "train.target_refusal_rate")]);
        assert!(parse(text, &["data.val=bank:val"]).is_ok());
        let margins = ["train.metric_for_best=eval_rewards/margins", "data.val=bank:val"];
        assert!(parse(text, &margins).is_err());
        assert!(parse(text, &[&margins[..], &["train.method=dpo"]].concat()).is_ok());
    }

    #[test]
    fn broken_toml_names_its_line() {
        let error = parse("seed = 1\n[lora\n", &[]).unwrap_err().to_string();
        assert!(error.contains("r.toml:2"), "{error}");
    }
}
