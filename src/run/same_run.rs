//! Whether a run folder holds the run that a recipe describes, so that it can resume.

use idk_common::diagnose::{Diagnose, ExitKind};
use idk_common::identity::{Difference, differences};
use idk_common::json::{read_json, write_json};
use idk_common::{CommonError, Identity, RunDir};
use idk_dataset_builder::{
    BuildConfig, MANIFEST_FILE, Provenance, Sampled, SamplingSettings, partial_sampling, read_manifest,
};

use super::RunError;
use super::allow::{allows, can_be_allowed};
use super::questions;
use super::rows::row_count;
use crate::recipe::renamed::is_renamed;
use crate::recipe::{ModelSection, Recipe, RecipeError};
use crate::terminal::Failure;

/// What made a run, besides its recipe: the content of `identity.json`.
pub(crate) fn run_identity(model_sha256: &str, model: &ModelSection) -> Identity {
    let identity = Identity::default().with("program", env!("CARGO_PKG_VERSION")).with("model", model_sha256);
    identity.and(of_weights(model))
}

/// How the base model's weights are held, if they are quantised: it is another model then.
fn of_weights(model: &ModelSection) -> Identity {
    match model.dtype.quantisation() {
        None => Identity::default(),
        Some(quantisation) => Identity::default().with("model.dtype", quantisation.name()),
    }
}

/// Writes `identity.json`. It comes before `recipe.toml`: a recipe without it is of an earlier version.
pub(crate) fn write_identity(
    dir: &RunDir,
    model_sha256: &str,
    model: &ModelSection,
) -> Result<(), CommonError> {
    write_json(&dir.identity(), &run_identity(model_sha256, model))
}

/// The hash of the base model of a run; `None` for a folder that is no run.
///
/// # Errors
/// [`RunError::NoIdentity`] for the run of an earlier version; [`CommonError`] for a file that cannot be read.
pub(crate) fn model_of_run(dir: &RunDir) -> Result<Option<String>, Failure> {
    if !dir.recipe().is_file() {
        return Ok(None);
    }
    match read_json::<Identity>(&dir.identity()) {
        Ok(identity) => Ok(identity.text("model").map(str::to_owned)),
        Err(CommonError::NotFound { .. }) => Err(RunError::NoIdentity { dir: dir.root.clone() }.into()),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a folder whose dataset or checkpoints were made by another recipe or model, before anything in it
/// changes. Files that the recipe names are compared by their content, when the stage reads them.
pub(crate) fn check_same_run(
    recipe: &Recipe,
    dir: &RunDir,
    model_sha256: &str,
    allowed: &[String],
) -> Result<(), Failure> {
    let path = dir.recipe();
    if !path.is_file() {
        return Ok(());
    }
    let before = match Recipe::load(&path, &[]) {
        Ok(before) => before,
        Err(RecipeError::Invalid { problems, .. }) if problems.iter().any(|it| is_renamed(&it.problem)) => {
            let problems = problems.into_iter().map(|it| it.problem).filter(is_renamed).collect();
            return Err(RunError::EarlierNames { dir: dir.root.clone(), problems }.into());
        }
        Err(error) if error.exit_kind() == ExitKind::Io => return Err(error.into()),
        // A recipe.toml that cannot be read is of another version; the stages then compare their own inputs.
        Err(_) => return Ok(()),
    };
    let (mut then, mut now) = (Identity::default(), Identity::default());
    if let Some((sampled, build_now)) = sampling_of(recipe, dir, &before)? {
        let data = questions::identity(&before.data, &recipe.data);
        then = then.and(sampled).with("seed", before.seed).with_section("data", &data.0);
        then = then.and(of_weights(&before.model));
        now = now
            .and(of_weights(&recipe.model))
            .with("model", model_sha256)
            .with("seed", recipe.seed)
            .with_section("data", &data.1)
            .and(build_now);
    }
    if dir.checkpoints().is_dir() {
        then = then.and(of_training(&before));
        now = now.and(of_training(recipe));
    }
    if now == Identity::default() {
        return Ok(());
    }
    // A run that has made something also says with what.
    model_of_run(dir)?;
    let (taken, differing): (Vec<Difference>, Vec<Difference>) =
        differences(&then, &now).into_iter().partition(|change| allows(allowed, &change.key));
    if differing.is_empty() {
        return check_steps_left(recipe, dir, &taken);
    }
    Err(other_run(dir, differing))
}

/// What the samples of a run were made from, and the same of `recipe`, as far as it stands in `[build]`; the former also
/// has the model. `None` if nothing is sampled.
fn sampling_of(
    recipe: &Recipe,
    dir: &RunDir,
    before: &Recipe,
) -> Result<Option<(Identity, Identity)>, Failure> {
    let dataset = dir.dataset();
    let of_build = |build: &BuildConfig| Identity::default().with_section("build", &build.identity());
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
        let then = of_build(&build).with("model", provenance.model_sha256);
        return Ok(Some((then, of_build(&recipe.build))));
    }
    let Ok(Some(partial)) = partial_sampling(&dataset) else { return Ok(None) };
    // What only labels read may still change.
    let then =
        Identity::default().with_section("build", &partial.build).with("model", partial.model_sha256.clone());
    let now = Identity::default().with_section("build", &SamplingSettings::of(&recipe.build));
    Ok(Some((then, now)))
}

/// What of a recipe its training depends on.
fn of_training(recipe: &Recipe) -> Identity {
    let lora = Identity::default().with_section("lora", &recipe.lora);
    lora.and(of_weights(&recipe.model))
        .and(recipe.train.identity())
        .and(recipe.dpo.identity())
        .and(recipe.calibrated.identity())
        .and(recipe.rl.identity())
}

pub(crate) fn other_run(dir: &RunDir, differences: Vec<Difference>) -> Failure {
    let can_be_allowed = differences.iter().all(|change| can_be_allowed(&change.key));
    RunError::OtherRun { dir: dir.root.clone(), differences, can_be_allowed }.into()
}

/// Refuses allowed changes to a run that has no step left to read them: its files must not say what it never did.
fn check_steps_left(recipe: &Recipe, dir: &RunDir, changes: &[Difference]) -> Result<(), Failure> {
    let dataset = dir.dataset();
    if changes.is_empty() || !dataset.join(MANIFEST_FILE).is_file() {
        return Ok(());
    }
    let Some(found) = idk_trainer::load_newest(dir)? else { return Ok(()) };
    let counts = read_manifest(&dataset)?.counts;
    let rows = row_count(recipe, &counts);
    // Another rule for ending early may give a run that one has ended steps again.
    let of_ending = ["train.early_stopping_patience", "train.target_refusal_rate"];
    let ends_elsewhere = changes.iter().any(|change| of_ending.contains(&change.key.as_str()));
    let ended = found.state.selection.ended.is_some() && !ends_elsewhere;
    if !ended && found.state.step < recipe.train.total_steps(rows) {
        return Ok(());
    }
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
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
    let of = |build: &BuildConfig, provenance: &Provenance, seed: u64| {
        Identity::of(provenance).with_section("build", build).with("seed", seed)
    };
    let (build, origin, seed) = made;
    let now = of(&recipe.build.identity(), provenance, recipe.seed);
    let differing = differences(&of(build, origin, seed), &now);
    if differing.is_empty() { Ok(()) } else { Err(other_run(dir, differing)) }
}

/// Refuses to put answers of one model next to the dataset and adapter of another.
pub(crate) fn check_model_of_run(dir: &RunDir, model_sha256: &str) -> Result<(), Failure> {
    let made_with = idk_dataset_builder::read_manifest(&dir.dataset())?.provenance.model_sha256;
    if made_with == model_sha256 {
        return Ok(());
    }
    let then = Identity::default().with("model", made_with);
    let now = Identity::default().with("model", model_sha256);
    Err(other_run(dir, differences(&then, &now)))
}
