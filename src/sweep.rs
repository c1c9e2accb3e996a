//! Sweeps of a run: the adapter's scale and the confidence threshold on val, without training; which scale to take.

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::lock::RunLock;
use idk_common::{Problem, Problems, RunDir};
use idk_evaluator::{
    AccuracyFloor, Choice, EvalConfig, NamedAdapter, Picked, Prepared, Subject, Sweep, SweepKind, SweepPoint,
    SweepSet, Sweeper, alpha_steps, pick, prepare, sweep_table,
};
use idk_model::{Adapters, Lalm};
use serde::{Deserialize, Serialize};

use crate::cli::{print_line, say};
use crate::error::{Failure, RunError};
use crate::evaluation::check_model_of_run;
use crate::pipeline::{device_of_answers, load_model};
use crate::recipe::{DataSection, Recipe};
use crate::sources::{self, Set};
use crate::terminal;

/// `[sweep]`: the values that `idk-eval sweep` goes through, and the K of `idk-train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweepConfig {
    /// Factors before the run's adapter at inference: 1 as trained, 0 the base model. Default
    /// `[0, 0.25, 0.5, 0.75, 1, 2, 4]`.
    pub alpha: Vec<f64>,
    /// An alpha is picked only if it keeps at least this share of the base model's accuracy on val. Default 0.8.
    pub min_accuracy: f64,
    /// With values, `idk-train` trains an adapter for each K of K@N, all from the same samples. Default none.
    pub k: Vec<usize>,
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self { alpha: vec![0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 4.0], min_accuracy: 0.8, k: Vec::new() }
    }
}

/// Greatest alpha; far beyond it a model only stammers.
const MAX_ALPHA: f64 = 100.0;

impl SweepConfig {
    /// What is wrong with the values of `[sweep]`, all of it. `n_samples` is that of `[build]`.
    pub fn problems(&self, n_samples: usize) -> Vec<Problem> {
        let repeats =
            |values: &[f64]| values.iter().enumerate().any(|(at, value)| values[..at].contains(value));
        let k: Vec<f64> = self.k.iter().map(|&k| k as f64).collect();
        let mut problems = Problems::of_section("sweep");
        let once = !self.alpha.is_empty() && !repeats(&self.alpha);
        problems.require(once, "alpha", "must hold one or more numbers, each once");
        let in_range = self.alpha.iter().all(|alpha| (0.0..=MAX_ALPHA).contains(alpha));
        problems.require(in_range, "alpha", "may hold numbers between 0 and 100");
        problems.shares([("min_accuracy", self.min_accuracy)]);
        let in_range = !repeats(&k) && self.k.iter().all(|k| (1..=n_samples).contains(k));
        problems.require(in_range, "k", "may hold numbers between 1 and n_samples of [build], each once");
        problems.into_vec()
    }
}

/// The data section and the set that sweeps answer: `val` of [data], else the bank's own where the test set is the
/// bank's.
pub(crate) fn val_source(recipe: &Recipe) -> Result<(DataSection, Set), RunError> {
    let data = &recipe.data;
    let val = match data.val.as_str() {
        "" if data.test.starts_with("bank:") && data.train != "bank:val" => "bank:val",
        "" => {
            let what =
                "a sweep needs questions that are neither trained on nor tested on: give `val` in [data]";
            return Err(RunError::Usage { what: what.to_owned() });
        }
        given => given,
    };
    if val == data.test || val == data.train {
        let what = format!("`{val}` is the training or the test set: nothing may be picked on it");
        return Err(RunError::Usage { what });
    }
    Ok((DataSection { val: val.to_owned(), ..data.clone() }, Set::Val))
}

/// What `idk-eval sweep` was asked for, besides the recipe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Answer the test set too.
    pub test: bool,
    /// Print JSON on stdout instead of tables.
    pub json: bool,
}

/// `idk-eval sweep`: the alpha and the threshold of a finished run, on val and if asked on the test set.
///
/// # Errors
/// A run without an adapter; a recipe without val questions; whatever stops the answers, of which those that are there
/// are kept.
pub fn sweep(recipe: &Recipe, request: Request) -> Result<(), Failure> {
    let sets: &[Set] = if request.test { &[Set::Val, Set::Test] } else { &[Set::Val] };
    let run = SweptRun::open(recipe, sets)?;
    let config = recipe.sweep.clone().unwrap_or_default();
    let val = run.prepared(SweepSet::Val)?;
    let test = if request.test { Some(run.prepared(SweepSet::Test)?) } else { None };
    let alpha = run.alpha(&config, SweepSet::Val, &val)?;
    let picked = match pick(&alpha, AccuracyFloor::OfBase(config.min_accuracy))? {
        Choice::Best(picked) => Some(picked),
        Choice::None { why, .. } => {
            say(&format!("no alpha is picked: {why}"));
            None
        }
    };
    run.publish(&Sweep { picked: picked.clone(), ..alpha }, request.json)?;
    if let Some(test) = &test {
        let alpha = run.alpha(&config, SweepSet::Test, test)?;
        run.publish(&Sweep { picked, ..alpha }, request.json)?;
    }
    run.thresholds(&val, test.as_ref(), request.json)
}

/// What `idk-eval pick` was asked for, besides the recipe.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickRequest<'a> {
    /// The least accuracy; without it `min_accuracy` of `[sweep]`.
    pub floor: Option<AccuracyFloor>,
    /// Folder for the adapter with the picked alpha in its scale.
    pub write: Option<&'a Path>,
    /// Print JSON on stdout instead of text.
    pub json: bool,
}

/// `idk-eval pick`: the alpha to take, by val alone. Answers of an earlier sweep are used again.
///
/// # Errors
/// As [`sweep`]; [`RunError::NothingPicked`] if an adapter is to be written and no alpha helps; a folder that is taken.
pub fn pick_alpha(recipe: &Recipe, request: &PickRequest<'_>) -> Result<(), Failure> {
    if let Some(dir) = request.write.filter(|dir| dir.exists()) {
        let what = format!("`{}` is there already: --write makes a new folder", dir.display());
        return Err(RunError::Usage { what }.into());
    }
    let run = SweptRun::open(recipe, &[Set::Val])?;
    let config = recipe.sweep.clone().unwrap_or_default();
    let sweep = run.alpha(&config, SweepSet::Val, &run.prepared(SweepSet::Val)?)?;
    let floor = request.floor.unwrap_or(AccuracyFloor::OfBase(config.min_accuracy));
    let choice = pick(&sweep, floor)?;
    let picked = match &choice {
        Choice::Best(picked) => Some(picked.clone()),
        Choice::None { .. } => None,
    };
    let sweep = Sweep { picked, ..sweep };
    sweep.write(&run.dir.root)?;
    if request.json {
        print_line(&serde_json::to_string(&sweep).unwrap_or_default())?;
    } else {
        print_line(&advice(&sweep, &choice))?;
    }
    match (choice, request.write) {
        (Choice::Best(picked), Some(dir)) => {
            write_adapter(&run.adapter.adapters, &picked, dir, &recipe.model.path)
        }
        (Choice::None { why, below_floor }, Some(_)) => {
            Err(RunError::NothingPicked { why, below_floor }.into())
        }
        (_, None) => Ok(()),
    }
}

/// The recommendation in words: what changes against the adapter as it was trained.
fn advice(sweep: &Sweep, choice: &Choice) -> String {
    let picked = match choice {
        Choice::Best(picked) => picked,
        Choice::None { why, .. } => {
            return format!("{}\nNo alpha is recommended: {why}.", sweep_table(sweep));
        }
    };
    let at = |value: f64| sweep.points.iter().find(|point| point.value == value);
    let mut text = format!("{}\nalpha {}: {}.", sweep_table(sweep), picked.value, picked.why);
    if picked.value == 1.0 {
        text.push_str("\nThat is the adapter as it was trained: nothing changes.");
    } else if let (Some(now), Some(then)) = (at(1.0), at(picked.value)) {
        let percent = |value: fn(&SweepPoint) -> Option<f64>| {
            let shown = |point| value(point).map_or("-".to_owned(), |value| format!("{value:.1} %"));
            format!("{} -> {}", shown(now), shown(then))
        };
        let rgi = |point: &SweepPoint| match point.rgi {
            Some(rgi) => format!("{rgi:+.2}"),
            None => point.rgi_reason.clone().unwrap_or_else(|| "-".to_owned()),
        };
        text.push_str(&format!(
            "\nAgainst alpha 1 on val: RGI {} -> {}, accuracy {}, refused {}.",
            rgi(now),
            rgi(then),
            percent(|point| point.acc),
            percent(|point| point.refusal_rate)
        ));
    }
    text
}

/// A finished run whose sweeps are made; its folder is locked.
struct SweptRun<'a> {
    recipe: &'a Recipe,
    dir: RunDir,
    lalm: Lalm,
    model_sha256: String,
    adapter: NamedAdapter,
    config: EvalConfig,
    _lock: RunLock,
}

impl<'a> SweptRun<'a> {
    /// `sets`: those that will be answered.
    fn open(recipe: &'a Recipe, sets: &[Set]) -> Result<Self, Failure> {
        let (data, _) = val_source(recipe)?;
        sources::check(&data, sets)?;
        let dir = RunDir::new(&recipe.output.dir);
        drop(idk_common::fs::open(&dir.adapter().join("adapter_config.json"))?);
        let lalm = load_model(recipe)?;
        let model_sha256 = sources::model_sha256(&recipe.model.path)?;
        if dir.dataset().join(idk_dataset_builder::MANIFEST_FILE).is_file() {
            check_model_of_run(&dir, &model_sha256)?;
        }
        let lock = RunLock::acquire(&dir.root)?;
        let adapters = Adapters::load(&dir.adapter(), &lalm)?;
        let sha256 = sources::model_sha256(&dir.adapter())?;
        let adapter = NamedAdapter { name: "adapter".to_owned(), adapters, sha256 };
        let config = recipe.eval.clone();
        Ok(Self { recipe, dir, lalm, model_sha256, adapter, config, _lock: lock })
    }

    /// The questions of a set, ready to be answered. `limit` of [eval] is for the test set.
    fn prepared(&self, set: SweepSet) -> Result<Prepared, Failure> {
        let (data, source) = match set {
            SweepSet::Val => val_source(self.recipe)?,
            SweepSet::Test => (self.recipe.data.clone(), Set::Test),
        };
        prepare_set(&self.lalm, self.recipe, &data, source, &self.dir.questions())
    }

    fn with_sweeper<T>(&self, job: impl FnOnce(&Sweeper<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let device = device_of_answers(self.recipe, &self.lalm);
        let subject = bare_subject(&self.lalm, &self.model_sha256, &device);
        job(&Sweeper {
            subject: &subject,
            config: &self.config,
            seed: self.recipe.data.seed,
            eval_dir: &self.dir.eval(),
            progress: terminal::progress,
        })
    }

    fn alpha(&self, config: &SweepConfig, set: SweepSet, prepared: &Prepared) -> Result<Sweep, Failure> {
        let steps = alpha_steps(&self.adapter, &config.alpha);
        self.with_sweeper(|sweeper| Ok(sweeper.adapters(SweepKind::Alpha, &steps, set, prepared)?))
    }

    /// The thresholds come from val and are the same on the test set.
    fn thresholds(&self, val: &Prepared, test: Option<&Prepared>, json: bool) -> Result<(), Failure> {
        self.with_sweeper(|sweeper| {
            let Some(thresholds) = sweeper.thresholds(val)? else {
                say("no threshold sweep: the questions have no options");
                return Ok(());
            };
            for (set, prepared) in [(SweepSet::Val, Some(val)), (SweepSet::Test, test)] {
                if let Some(prepared) = prepared {
                    self.publish(&sweeper.below(&thresholds, set, prepared)?, json)?;
                }
            }
            Ok(())
        })
    }

    fn publish(&self, sweep: &Sweep, json: bool) -> Result<(), Failure> {
        publish(sweep, &self.dir.root, json)
    }
}

/// Writes the adapter with the picked alpha in its scale.
fn write_adapter(adapters: &Adapters, picked: &Picked, dir: &Path, model: &Path) -> Result<(), Failure> {
    adapters.scaled(picked.value as f32).save(dir, &model.display().to_string())?;
    say(&format!("adapter   {} (alpha {} in its scale)", dir.display(), picked.value));
    Ok(())
}

/// Writes a sweep into the run folder and prints it.
pub(crate) fn publish(sweep: &Sweep, root: &Path, json: bool) -> Result<(), Failure> {
    let path = sweep.write(root)?;
    print_line(&if json { serde_json::to_string(sweep).unwrap_or_default() } else { sweep_table(sweep) })?;
    say(&format!("sweep     {}", path.display()));
    Ok(())
}

/// A subject without adapters, labels and val: all that a sweep needs.
pub(crate) fn bare_subject<'a>(lalm: &'a Lalm, model_sha256: &'a str, device: &'a str) -> Subject<'a> {
    static NONE: BTreeMap<String, f64> = BTreeMap::new();
    static NO_NAMES: BTreeMap<String, String> = BTreeMap::new();
    Subject {
        lalm,
        model_sha256,
        device,
        adapters: &[],
        known_share: &NONE,
        run_dir: None,
        val: None,
        samples: None,
        provenance: &NO_NAMES,
    }
}

/// Loads and encodes a set of questions. `limit` of [eval] is for the test set.
pub(crate) fn prepare_set(
    lalm: &Lalm,
    recipe: &Recipe,
    data: &DataSection,
    set: Set,
    questions_dir: &Path,
) -> Result<Prepared, Failure> {
    let limit = recipe.eval.limit.filter(|_| set == Set::Test);
    let config = EvalConfig { limit, ..recipe.eval.clone() };
    let loaded = sources::load(data, set, questions_dir, config.max_rejected_share)?;
    Ok(prepare(lalm, &loaded.set, &config, recipe.build.prompt, data.seed, terminal::progress)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_swept_are_named() {
        let keys = |config: SweepConfig| -> Vec<String> {
            config.problems(5).into_iter().map(|problem| problem.key.replace("sweep.", "")).collect()
        };
        let base = SweepConfig::default;
        assert_eq!(keys(SweepConfig { k: vec![1, 5], ..base() }), Vec::<String>::new());
        assert_eq!(keys(SweepConfig { alpha: vec![], k: vec![6], ..base() }), ["alpha", "k"]);
        assert_eq!(keys(SweepConfig { alpha: vec![1.0, 1.0], k: vec![2, 2], ..base() }), ["alpha", "k"]);
        assert_eq!(
            keys(SweepConfig { alpha: vec![-1.0], min_accuracy: 1.5, ..base() }),
            ["alpha", "min_accuracy"]
        );
        assert_eq!(keys(SweepConfig { alpha: vec![f64::NAN], k: vec![0], ..base() }), ["alpha", "k"]);
    }

    #[test]
    fn a_written_adapter_has_the_picked_alpha_in_its_lora_alpha_and_the_same_weights() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/qwen2-audio-tiny");
        let lalm = Lalm::load(&fixture, &idk_model::device("cpu").unwrap()).unwrap();
        let trained = Adapters::load(&fixture.join("lora_adapter"), &lalm).unwrap();
        let root = tempfile::tempdir().unwrap();
        let written = |value: f64| {
            let (dir, picked) = (root.path().join(value.to_string()), Picked { value, why: String::new() });
            write_adapter(&trained, &picked, &dir, Path::new("base")).unwrap();
            let config: serde_json::Value =
                idk_common::json::read_json(&dir.join("adapter_config.json")).unwrap();
            let weights = idk_common::fs::read(&dir.join("adapter_model.safetensors")).unwrap();
            (config["lora_alpha"].as_f64().unwrap(), weights, Adapters::load(&dir, &lalm).unwrap())
        };
        let (alpha, weights, same) = written(1.0);
        let (half_alpha, half_weights, half) = written(0.5);
        assert_eq!((half_alpha, half_weights), (alpha / 2.0, weights));
        for (name, pair) in &trained.modules {
            assert_eq!((same.modules[name].scale, half.modules[name].scale), (pair.scale, pair.scale / 2.0));
        }
    }

    #[test]
    fn a_sweep_answers_the_recipes_val_questions_and_never_those_of_the_test() {
        let recipe = |train: &str, val: &str, test: &str| {
            let mut recipe = Recipe::default();
            recipe.data.train = train.to_owned();
            recipe.data.val = val.to_owned();
            recipe.data.test = test.to_owned();
            val_source(&recipe).map(|(data, _)| data.val).map_err(|error| error.to_string())
        };
        assert_eq!(recipe("bank:idk", "", "bank:test").unwrap(), "bank:val");
        assert_eq!(recipe("a.json", "b.json", "d.json").unwrap(), "b.json");
        assert!(recipe("a.json", "", "d.json").unwrap_err().contains("give `val`"));
        assert!(recipe("a.json", "d.json", "d.json").unwrap_err().contains("`d.json`"));
    }
}
