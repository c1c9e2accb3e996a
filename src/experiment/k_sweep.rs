//! K of K@N: trains and evaluates one adapter per K, all from the same samples; finds the best K on val.

use std::path::{Path, PathBuf};

use idk_common::RunDir;
use idk_dataset_builder::{BuildConfig, relabel_to};
use idk_evaluator::{
    AccuracyFloor, Method, Pick, Results, Sweep, SweepKind, SweepPoint, SweepSet, SweepStep, Sweeper, pick,
};

use super::cells::Grid;
use super::sweep::{bare_subject, prepare_set, publish};
use crate::recipe::{Recipe, SweepConfig};
use crate::run::questions::val_source;
use crate::run::{BaseModel, Options, Run};
use crate::stage::dataset;
use crate::stage::evaluate::load_adapters;
use crate::terminal::{Failure, progress, say};

/// Trains and evaluates an adapter for every K, and writes and prints `sweep/k.json` and `sweep/k-test.json`.
///
/// # Errors
/// Whatever stops a K; finished ones stay and are kept by the next start.
pub(crate) fn run(recipe: &Recipe, config: &SweepConfig, options: &Options<'_>) -> Result<(), Failure> {
    val_source(recipe)?;
    let grid = Grid::open(recipe, options)?;
    let mut ks = config.k.clone();
    ks.sort_unstable();
    let samples = sample(&grid)?;
    let mut results = Vec::new();
    for &k in &ks {
        let cell = cell(&grid, k);
        label(&samples, &cell)?;
        let title = format!("k sweep   {k} of {} samples right", recipe.build.n_samples);
        results.push((k, grid.results(&title, &cell, grid.dir.questions())?));
    }
    let mut val = on_val(recipe, &grid, &ks)?;
    match pick(&val, AccuracyFloor::OfBase(config.min_accuracy))? {
        Pick::Best(picked) => val.picked = Some(picked),
        Pick::None { why, .. } => say(&format!("no k is picked: {why}")),
    }
    let test = Sweep { picked: val.picked.clone(), ..on_test(&results) };
    publish(&val, &grid.dir.root, options.json)?;
    publish(&test, &grid.dir.root, options.json)
}

/// The recipe of one K.
fn cell(grid: &Grid<'_>, k: usize) -> Recipe {
    grid.cell(&format!("k{k}"), |cell| cell.build.k = k)
}

/// Samples once for all K, into a run folder that holds nothing else.
fn sample(grid: &Grid<'_>) -> Result<PathBuf, Failure> {
    let sampling = grid.in_folder(grid.dir.shared_samples().root, |_| {});
    let mut run = Run::start(&sampling, &sampling.output.dir, &grid.options)?;
    run.questions = grid.dir.questions();
    dataset::complete(&run)?;
    Ok(run.dir.dataset())
}

/// Gives the cell its dataset: the shared samples, labelled for its K.
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
fn on_val(recipe: &Recipe, grid: &Grid<'_>, ks: &[usize]) -> Result<Sweep, Failure> {
    let model = BaseModel::load(recipe)?;
    let adapter = |&k: &usize| (format!("k{k}"), RunDir::new(cell(grid, k).output.dir).adapter());
    let named: Vec<(String, PathBuf)> = ks.iter().map(adapter).collect();
    let adapters = load_adapters(&named, &model.lalm)?;
    let step = |(&k, adapter)| SweepStep { value: k as f64, adapter: Some(adapter) };
    let steps: Vec<SweepStep> = ks.iter().zip(adapters).map(step).collect();
    let (data, set) = val_source(recipe)?;
    let val = prepare_set(&model, recipe, &data, set, &grid.dir.questions())?;
    let sweeper = Sweeper {
        subject: &bare_subject(&model),
        config: &recipe.eval,
        seed: recipe.data.seed,
        eval_dir: &grid.dir.eval(),
        progress,
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
