//! The first stage of a run: questions to the IDK dataset.

use std::path::Path;

use idk_common::text::display_path;
use idk_dataset_builder::{
    BuildConfig, BuildError, BuildInputs, Control, DatasetManifest, MANIFEST_FILE, PartReport, Provenance,
    Sampled, SamplingPart, partial_sampling, read_manifest, relabel, remove_shards, verify,
};
use idk_questions::PackedSet;

use super::NEW;
use super::sampling::sampling;
use crate::run::Run;
use crate::run::questions::{self, Set};
use crate::run::same_run::check_dataset;
use crate::terminal::Failure;

/// The IDK dataset: kept if complete and of this recipe, else built.
///
/// # Errors
/// A dataset of another recipe; whatever stops the sampling, of which complete shards are kept.
pub(crate) fn complete(run: &Run<'_>) -> Result<DatasetManifest, Failure> {
    let (set, provenance) = training_questions(run)?;
    let out = run.dir.dataset();
    if out.join(MANIFEST_FILE).is_file() {
        // Left where a build was killed in its last moment.
        remove_shards(&out)?;
        let manifest = verify(&out)?;
        let made = (&manifest.config, &manifest.provenance, manifest.seed);
        check_dataset(run.recipe, &run.dir, made, &provenance)?;
        return Ok(manifest);
    }
    if Sampled::is_in(&out) {
        label(run, &out, &provenance)?;
        remove_shards(&out)?;
    } else {
        sample(run, &set, &provenance, |inputs, control| idk_dataset_builder::build(inputs, &out, control))?;
    }
    Ok(read_manifest(&out)?)
}

/// What of the dataset in `out` can be reused, in words.
pub(crate) fn progress_of(out: &Path) -> &'static str {
    if out.join(MANIFEST_FILE).is_file() {
        "is complete"
    } else if Sampled::is_in(out) {
        "reuses all samples"
    } else if matches!(partial_sampling(out), Ok(Some(_))) {
        "reuses the samples that are complete"
    } else {
        NEW
    }
}

/// Samples one part of the training questions.
///
/// # Errors
/// As [`complete`].
pub(crate) fn sample_part(run: &Run<'_>, part: SamplingPart) -> Result<PartReport, Failure> {
    let (set, provenance) = training_questions(run)?;
    sample(run, &set, &provenance, |inputs, control| {
        idk_dataset_builder::sample_part(inputs, part, &run.dir.dataset(), control)
    })
}

/// A dataset in one line.
pub(crate) fn describe(manifest: &DatasetManifest, dir: &Path) -> String {
    let counts = &manifest.counts;
    format!(
        "dataset   {}: {} questions, {} known, {} unknown at {}@{}; {} rejected",
        display_path(dir),
        counts.kept,
        counts.known,
        counts.unknown,
        manifest.config.k,
        manifest.config.n_samples,
        counts.rejected
    )
}

/// The training questions and where they come from.
fn training_questions(run: &Run<'_>) -> Result<(PackedSet, Provenance), Failure> {
    let recipe = run.recipe;
    let (data, max_rejected) = (&recipe.data, recipe.build.max_rejected_share);
    let (set, path) = questions::load_packed(data, Set::Train, &run.questions, max_rejected)?;
    let provenance = Provenance {
        model: recipe.model.name(),
        model_sha256: run.model.sha256().to_owned(),
        questions: questions::display_name(&data.train),
        questions_sha256: idk_common::hash::sha256_file(&path)?,
    };
    Ok((set, provenance))
}

fn sample<T>(
    run: &Run<'_>,
    set: &PackedSet,
    provenance: &Provenance,
    job: impl FnOnce(&BuildInputs<'_>, &Control<'_>) -> Result<T, BuildError>,
) -> Result<T, Failure> {
    let recipe = run.recipe;
    run.model.sampled(|model| {
        let (config, seed, server) = (&recipe.build, recipe.seed, run.model.server());
        let inputs = BuildInputs { model, server, set, config, seed, provenance };
        sampling(&inputs, &run.dir.root, |control| job(&inputs, control))
    })
}

/// Labels samples that are complete.
fn label(run: &Run<'_>, out: &Path, provenance: &Provenance) -> Result<(), Failure> {
    let sampled = Sampled::read(out)?;
    let build = &run.recipe.build;
    let made = (&sampled.config.labelled_as(build), &sampled.provenance, sampled.seed);
    check_dataset(run.recipe, &run.dir, made, provenance)?;
    Ok(finish_labels(&sampled, out, build)?)
}

fn finish_labels(sampled: &Sampled, out: &Path, config: &BuildConfig) -> Result<(), BuildError> {
    // A dataset does not say where its server was.
    let config = &config.identity();
    if sampled.config == *config {
        idk_dataset_builder::complete(out)?;
    } else {
        relabel(out, config, || Ok(()))?;
    }
    Ok(())
}
