//! K of K@N: trains and evaluates one adapter per K, all from the same samples; finds the best K on val.
//!
//! Each K has its own run in `cells/k<K>/`, so an interrupted experiment resumes.

use std::path::{Path, PathBuf};

use idk_common::RunDir;
use idk_dataset_builder::{BuildConfig, relabel_to};
use idk_evaluator::{
    AccuracyFloor, Choice, Method, NamedAdapter, Results, Sweep, SweepKind, SweepPoint, SweepSet, SweepStep,
    Sweeper, pick,
};
use idk_model::Adapters;

use crate::cli::say;
use crate::error::Failure;
use crate::pipeline::{self, Options, Run, move_aside};
use crate::recipe::Recipe;
use crate::sources;
use crate::sweep::{SweepConfig, bare_subject, prepare_set, publish, val_source};
use crate::terminal;

/// Trains and evaluates an adapter for every K, and writes and prints `sweep/k.json` and `sweep/k-test.json`.
///
/// # Errors
/// Whatever stops a K; finished ones stay and are kept by the next start.
pub(crate) fn run(recipe: &Recipe, config: &SweepConfig, options: &Options) -> Result<(), Failure> {
    val_source(recipe)?;
    let root = &recipe.output.dir;
    if options.fresh {
        move_aside(root)?;
    }
    let _lock = RunDir::new(root).claim()?;
    let mut ks = config.k.clone();
    ks.sort_unstable();
    let samples = sample(recipe, root, options)?;
    let mut results = Vec::new();
    for &k in &ks {
        say(&format!("k sweep   {k} of {} samples right", recipe.build.n_samples));
        let cell = cell_recipe(recipe, root, k);
        label(&samples, &cell)?;
        results.push((k, pipeline::train_cell(&cell, &RunDir::new(root).questions(), options)?));
    }
    let mut val = on_val(recipe, root, &ks)?;
    match pick(&val, AccuracyFloor::OfBase(config.min_accuracy))? {
        Choice::Best(picked) => val.picked = Some(picked),
        Choice::None { why, .. } => say(&format!("no k is picked: {why}")),
    }
    let test = Sweep { picked: val.picked.clone(), ..on_test(&results) };
    publish(&val, root, options.json)?;
    publish(&test, root, options.json)
}

/// Samples once for all K, into a run folder that holds nothing else.
fn sample(recipe: &Recipe, root: &Path, options: &Options<'_>) -> Result<PathBuf, Failure> {
    let mut sampling = recipe.clone();
    sampling.sweep = None;
    sampling.output.dir = RunDir::new(root).shared_samples().root;
    let mut run = Run::open(&sampling, &Options { fresh: false, ..*options })?;
    run.questions = RunDir::new(root).questions();
    run.dataset()?;
    Ok(run.dir.dataset())
}

/// The recipe of one K.
fn cell_recipe(recipe: &Recipe, root: &Path, k: usize) -> Recipe {
    let mut cell = recipe.clone();
    cell.sweep = None;
    cell.build.k = k;
    cell.output.dir = RunDir::new(root).cell(&format!("k{k}")).root;
    cell
}

/// Gives the cell its dataset: the samples that are there, labelled for its K.
fn label(samples: &Path, cell: &Recipe) -> Result<(), Failure> {
    let dataset = RunDir::new(&cell.output.dir).dataset();
    if dataset.join(idk_dataset_builder::MANIFEST_FILE).is_file() {
        return Ok(());
    }
    let sampled = idk_dataset_builder::Sampled::read(samples)?;
    let config = BuildConfig { k: cell.build.k, ..sampled.config };
    relabel_to(samples, &dataset, &config)?;
    Ok(())
}

/// The base model and the adapter of every K on the val questions.
fn on_val(recipe: &Recipe, root: &Path, ks: &[usize]) -> Result<Sweep, Failure> {
    let lalm = pipeline::load_model(recipe)?;
    let model_sha256 = sources::model_sha256(&recipe.model.path)?;
    let step = |&k: &usize| -> Result<SweepStep, Failure> {
        let dir = RunDir::new(cell_recipe(recipe, root, k).output.dir).adapter();
        let (adapters, sha256) = (Adapters::load(&dir, &lalm)?, sources::model_sha256(&dir)?);
        let adapter = NamedAdapter { name: format!("k{k}"), adapters, sha256 };
        Ok(SweepStep { value: k as f64, adapter: Some(adapter) })
    };
    let steps = ks.iter().map(step).collect::<Result<Vec<_>, _>>()?;
    let (data, set) = val_source(recipe)?;
    let val = prepare_set(&lalm, recipe, &data, set, &RunDir::new(root).questions())?;
    let device = pipeline::device_of_answers(recipe, &lalm);
    let subject = bare_subject(&lalm, &model_sha256, &device);
    let sweeper = Sweeper {
        subject: &subject,
        config: &recipe.eval,
        seed: recipe.data.seed,
        eval_dir: &RunDir::new(root).eval(),
        progress: terminal::progress,
    };
    Ok(sweeper.adapters(SweepKind::K, &steps, SweepSet::Val, &val)?)
}

/// The same on the test questions, from the results of the cells.
fn on_test(results: &[(usize, Results)]) -> Sweep {
    let point = |(k, results): &(usize, Results)| {
        let adapter = results.methods.iter().find(|result| result.method == Method::Adapter);
        let rows = adapter.map(|adapter| adapter.tasks.as_slice()).unwrap_or_default();
        SweepPoint::new(*k as f64, rows.iter().map(|row| (row.task.as_str(), &row.comparison)))
    };
    let first = results.first().map(|(_, results)| results);
    let base = first.and_then(|results| results.base.last()).and_then(|row| row.counts.acc());
    let questions = first.map_or(0, |results| results.n);
    let base = base.map(|share| 100.0 * share);
    Sweep::new(SweepKind::K, SweepSet::Test, questions, base, results.iter().map(point).collect())
}
