//! Whether a run folder holds the run that a recipe describes, so that it can be gone on with.

use idk_common::RunDir;
use idk_common::json::differences;
use idk_dataset_builder::{BuildConfig, MANIFEST_FILE, Provenance, Sampled, SamplingSettings, read_manifest};
use idk_trainer::Method;
use serde_json::Value;

use crate::error::{Failure, RunError};
use crate::recipe::Recipe;
use crate::sources;

/// Refuses a folder whose dataset or checkpoints were made by another recipe or model, before anything in it
/// changes. Files that the recipe names are compared by their content, when the stage reads them.
pub(crate) fn check_same_run(
    recipe: &Recipe,
    dir: &RunDir,
    model_sha256: &str,
    allowed: &[String],
) -> Result<(), Failure> {
    let path = dir.recipe();
    // A recipe.toml that cannot be read is of another version; the stages then compare their own inputs.
    let Some(before) = path.is_file().then(|| Recipe::load(&path, &[]).ok()).flatten() else {
        return Ok(());
    };
    let mut differing = Vec::new();
    let dataset = dir.dataset();
    let made_with = if dataset.join(MANIFEST_FILE).is_file() {
        Some((read_manifest(&dataset)?.provenance, before.build.clone()))
    } else if Sampled::is_in(&dataset) {
        // Labels are still to be made, so they may be others.
        let sampled = Sampled::read(&dataset)?;
        Some((sampled.provenance, sampled.config.labelled_as(&recipe.build)))
    } else {
        None
    };
    if let Some((provenance, build)) = made_with {
        let model = &provenance.model_sha256;
        differences("model sha256", &json(model), &json(&model_sha256), &mut differing);
        differences("seed", &json(&before.seed), &json(&recipe.seed), &mut differing);
        let data = sources::identity(&before.data, &recipe.data);
        differences("data", &json(&data.0), &json(&data.1), &mut differing);
        let build = (build.identity(), recipe.build.identity());
        differences("build", &json(&build.0), &json(&build.1), &mut differing);
    } else if let Ok(Some(partial)) = idk_dataset_builder::partial_sampling(&dataset) {
        // What only labels read may still change.
        let model = &partial.model_sha256;
        differences("model sha256", &json(model), &json(&model_sha256), &mut differing);
        differences("seed", &json(&partial.seed), &json(&recipe.seed), &mut differing);
        let data = sources::identity(&before.data, &recipe.data);
        differences("data", &json(&data.0), &json(&data.1), &mut differing);
        let build = SamplingSettings::of(&recipe.build);
        differences("build", &json(&partial.build), &json(&build), &mut differing);
    }
    if dir.checkpoints().is_dir() {
        differences("lora", &json(&before.lora), &json(&recipe.lora), &mut differing);
        let train = (before.train.identity(), recipe.train.identity());
        differences("train", &json(&train.0), &json(&train.1), &mut differing);
        let dpo = (before.dpo.identity(), recipe.dpo.identity());
        differences("dpo", &json(&dpo.0), &json(&dpo.1), &mut differing);
    }
    let (taken, differing): (Vec<String>, Vec<String>) =
        differing.into_iter().partition(|line| crate::allow::allows(allowed, line));
    if differing.is_empty() {
        return check_steps_left(recipe, dir, &taken);
    }
    Err(RunError::OtherRun { dir: dir.root.clone(), differences: differing }.into())
}

/// Refuses allowed changes to a run that has no step left to read them: its files must not say what it never did.
fn check_steps_left(recipe: &Recipe, dir: &RunDir, changes: &[String]) -> Result<(), Failure> {
    let dataset = dir.dataset();
    if changes.is_empty() || !dataset.join(MANIFEST_FILE).is_file() {
        return Ok(());
    }
    let Some(found) = idk_trainer::checkpoint::load_newest(dir)? else { return Ok(()) };
    let counts = read_manifest(&dataset)?.counts;
    let rows = match recipe.train.method {
        Method::Sft => counts.sft_rows,
        Method::Dpo => counts.dpo_rows,
    };
    // Another rule for ending early may give a run that one has ended steps again.
    let of_ending = |line: &String| {
        line.starts_with("train.early_stopping_patience: ") || line.starts_with("train.target_refusal_rate: ")
    };
    let ended = found.state.selection.ended.is_some() && !changes.iter().any(of_ending);
    if !ended && found.state.step < recipe.train.total_steps(rows) {
        return Ok(());
    }
    let what = format!(
        "the run in `{}` is finished: no step is left for {}; give it more epochs, or another output.dir",
        dir.root.display(),
        changes.join(", ")
    );
    Err(RunError::Usage { what }.into())
}

/// Refuses a dataset that was `made` (configuration, origin, seed) in another way than the recipe says, or from other
/// files than those of `provenance`.
pub(crate) fn check_dataset(
    recipe: &Recipe,
    dir: &RunDir,
    made: (&BuildConfig, &Provenance, u64),
    provenance: &Provenance,
) -> Result<(), Failure> {
    let (build, origin, seed) = made;
    let mut differing = Vec::new();
    differences("build", &json(build), &json(&recipe.build.identity()), &mut differing);
    differences("", &json(origin), &json(provenance), &mut differing);
    differences("seed", &json(&seed), &json(&recipe.seed), &mut differing);
    if differing.is_empty() {
        return Ok(());
    }
    Err(RunError::OtherRun { dir: dir.root.clone(), differences: differing }.into())
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
