//! The run of a stage: a new or given model, all or parts of which are trained on rendered clips.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use idk_benchmark::{Bank, ComposedItem, Split, Stream};
use idk_common::hash::sha256_file;
use idk_common::progress::Progress;
use idk_common::{Identity, RunDir};
use idk_model::{Lalm, ModelError, SaveDtype};
use idk_trainer::{TrainRun, TrainedModel, train_full};

use crate::error::PretrainError;
use crate::init::new_model;
use crate::recipe::PretrainRecipe;
use crate::rows::{BaseRows, Dtype};
use crate::say;
use crate::validate::{accuracy_by_task, accuracy_table, validation_items};

/// Trains a base model, writes it to `model/` in the run folder, and returns its accuracy as a table.
///
/// # Errors
/// Whatever stops it; checkpoints stay, and the same recipe resumes from the last one.
pub(crate) fn train(recipe: &PretrainRecipe, stop: &AtomicBool) -> Result<String, PretrainError> {
    let bank_dir = idk_benchmark::default_bank_dir(None);
    let bank = Bank::load(&bank_dir)?;
    let device = idk_model::device(&recipe.model.device)?;
    let lalm = match &recipe.init {
        Some(init) => new_model(init, &bank, recipe.seed, &device)?,
        None => Lalm::load(&recipe.model.path, &device)?,
    };
    if lalm.config.to_json("float32").is_none() {
        let name = lalm.config.architecture.name;
        let what = format!("only adapters of {name} are trained, not whole models");
        return Err(ModelError::Input { what }.into());
    }
    let dir = RunDir::new(&recipe.output.dir);
    let _lock = dir.claim()?;
    let identity = identity(recipe, &bank_dir)?;
    let val = validation_items(&bank, recipe.base.val_questions)?;
    // An earlier run keeps its recipe until this one has proved to be the same.
    if !dir.checkpoints().is_dir() {
        write_recipe(recipe, &dir)?;
    }
    let lalm = run_training(recipe, lalm, &bank, &val, &identity, &dir, stop)?;
    write_recipe(recipe, &dir)?;
    let model_dir = dir.root.join("model");
    let dtype = match recipe.base.dtype {
        Dtype::F32 => SaveDtype::F32,
        Dtype::Bf16 => SaveDtype::Bf16,
    };
    lalm.save(&model_dir, dtype)?;
    say(&format!("model     {}", model_dir.display()));
    accuracy_table(&Lalm::load(&model_dir, &device)?, &val)
}

/// What a checkpoint depends on besides `[train]`.
fn identity(recipe: &PretrainRecipe, bank_dir: &Path) -> Result<Identity, PretrainError> {
    let mut identity = Identity::default()
        .with("bank", sha256_file(&bank_dir.join("manifest.jsonl"))?)
        .with_section("base", &recipe.base)
        .with_section("init", &recipe.init);
    // A run of an earlier version, which trained the whole model, resumes.
    if !recipe.model.trainable.is_empty() {
        identity.insert("model.trainable", recipe.model.trainable.join(", "));
    }
    if recipe.init.is_none() {
        identity.insert("model", sha256_file(&recipe.model.path.join("model.safetensors"))?);
    }
    Ok(identity)
}

fn write_recipe(recipe: &PretrainRecipe, dir: &RunDir) -> Result<(), PretrainError> {
    Ok(idk_common::fs::write_atomic(&dir.recipe(), recipe.to_toml()?.as_bytes())?)
}

fn run_training(
    recipe: &PretrainRecipe,
    lalm: Lalm,
    bank: &Bank,
    val: &[ComposedItem],
    identity: &Identity,
    dir: &RunDir,
    stop: &AtomicBool,
) -> Result<Lalm, PretrainError> {
    let (config, mel) = (&recipe.base, lalm.mel.clone());
    let stream = Stream::new(bank, Split::Base)?;
    let rows = BaseRows { stream: &stream, config, mel: &mel, seed: recipe.seed };
    let batch_size = recipe.train.rows_per_step();
    let next_batch = |step: u64| Ok(rows.batch(step as usize, batch_size));
    let mut evaluate = |step: u64, lalm: &Lalm| {
        let values = accuracy_by_task(lalm, val)?;
        say(&format!("step {step}: {values:.2?}"));
        Ok(values)
    };
    let run = TrainRun {
        dir,
        seed: recipe.seed,
        base_name: &recipe.output.dir.display().to_string(),
        identity,
        resume: true,
        allow_changes: &[],
        stop: Some(stop),
        warn: &|line| say(&format!("warning: {line}")),
        features: None,
        progress: |_, _| Progress::hidden(),
    };
    let model = TrainedModel::parts(lalm, recipe.model.trained_parts());
    let (lalm, report) = train_full(model, &next_batch, Some(&mut evaluate), &recipe.train, run)?;
    if stop.load(Ordering::Relaxed) {
        return Err(PretrainError::Interrupted { dir: dir.root.clone(), step: report.steps });
    }
    Ok(lalm)
}
