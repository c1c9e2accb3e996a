//! K of K@N: trains and evaluates one adapter per K, all from the same samples; finds the best K on val.

use std::path::{Path, PathBuf};

use idk_common::RunDir;
use idk_dataset_builder::{BuildConfig, relabel_to};
use idk_evaluator::{AccuracyFloor, Grid, GridKind, GridSet, Pick, SweepStep, pick};

use super::cells::{Experiment, TrainedCell};
use super::publish;
use super::sweep::{prepare_set, sweeping};
use crate::recipe::{Recipe, SweepConfig};
use crate::run::questions::val_source;
use crate::run::{BaseModel, Options, Run};
use crate::stage::dataset;
use crate::stage::evaluate::load_adapters;
use crate::terminal::{Failure, say};

/// Trains and evaluates an adapter for every K, and writes and prints `sweep/k.json` and `sweep/k-test.json`.
///
/// # Errors
/// Whatever stops a K; finished ones stay and are kept by the next start.
pub(crate) fn run(recipe: &Recipe, config: &SweepConfig, options: &Options<'_>) -> Result<(), Failure> {
    val_source(recipe)?;
    let experiment = Experiment::open(recipe, options)?;
    let mut ks = config.k.clone();
    ks.sort_unstable();
    let samples = sample(&experiment)?;
    let mut cells = Vec::new();
    for &k in &ks {
        let recipe = cell(&experiment, k);
        label(&samples, &recipe)?;
        cells.push(TrainedCell {
            value: (k as f64).into(),
            seed: None,
            title: format!("k sweep   {k} of {} samples right", recipe.build.n_samples),
            recipe,
            questions: experiment.dir.questions(),
        });
    }
    let mut test = experiment.train(GridKind::K, cells)?;
    let mut val = on_val(recipe, &experiment, &ks)?;
    match pick(&val, AccuracyFloor::OfBase(config.min_accuracy))? {
        Pick::Best(picked) => val.picked = Some(picked),
        Pick::None { why, .. } => say(&format!("no k is picked: {why}")),
    }
    test.picked.clone_from(&val.picked);
    publish(&val, &experiment.dir.root, options.json)?;
    publish(&test, &experiment.dir.root, options.json)
}

/// The recipe of one K.
fn cell(experiment: &Experiment<'_>, k: usize) -> Recipe {
    experiment.cell(&format!("k{k}"), |cell| cell.build.k = k)
}

/// Samples once for all K, into a run folder that holds nothing else.
fn sample(experiment: &Experiment<'_>) -> Result<PathBuf, Failure> {
    let sampling = experiment.in_folder(experiment.dir.shared_samples().root, |_| {});
    let mut run = Run::start(&sampling, &sampling.output.dir, &experiment.options)?;
    run.questions = experiment.dir.questions();
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
fn on_val(recipe: &Recipe, experiment: &Experiment<'_>, ks: &[usize]) -> Result<Grid, Failure> {
    let model = BaseModel::load(recipe)?;
    let adapter = |&k: &usize| (format!("k{k}"), RunDir::new(cell(experiment, k).output.dir).adapter());
    let named: Vec<(String, PathBuf)> = ks.iter().map(adapter).collect();
    let adapters = load_adapters(&named, &model.lalm)?;
    let step = |(&k, adapter)| SweepStep { value: k as f64, adapter: Some(adapter) };
    let steps: Vec<SweepStep> = ks.iter().zip(adapters).map(step).collect();
    let (data, set) = val_source(recipe)?;
    let val = prepare_set(&model, recipe, &data, set, &experiment.dir.questions())?;
    sweeping(&model, recipe, &experiment.dir.eval(), |sweeper| {
        sweeper.adapters(GridKind::K, &steps, GridSet::Val, &val)
    })
}
