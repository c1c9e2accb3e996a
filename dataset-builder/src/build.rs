//! The whole build: screen, sample, judge, label, write.

use std::path::Path;

use idk_common::json::write_jsonl;
use idk_common::progress::Progress;
use idk_model::Lalm;
use idk_questions::rows::SampleRow;
use idk_questions::{QuestionSet, Verdict};
use serde::{Deserialize, Serialize};

use crate::card::write_card;
use crate::config::BuildConfig;
use crate::error::BuildError;
use crate::label::{IdkShares, label};
use crate::manifest::{Counts, DatasetManifest, FORMAT};
use crate::sample::sample_all;
use crate::screen::{Screened, Usable, screen};
use crate::write::{
    DPO_FILE, LABELS_FILE, README_FILE, REJECTED_FILE, Rows, SAMPLES_FILE, SFT_FILE, file_entry, open_folder,
    relative_to,
};

/// Where a dataset comes from. Names without folders, so that a run can move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the model folder.
    pub model: String,
    /// `idk_common::hash::sha256_dir` of the model folder.
    pub model_sha256: String,
    /// Name of the question file or of the split that was rendered.
    pub questions: String,
    /// SHA-256 of the question file.
    pub questions_sha256: String,
}

/// What a build did.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildReport {
    /// How many of everything.
    pub counts: Counts,
    /// Share of unknown questions for every K.
    pub idk_share: IdkShares,
}

/// Samples `lalm` on every question of `set` and writes the dataset folder `out`.
///
/// `progress` makes the bar of each stage: [`Progress::new`], or `|_, _| Progress::hidden()`.
///
/// The files depend on the arguments alone: not on the number of threads, and not on where `out` is. They are written
/// one by one, each whole or not at all, the manifest last; a dataset without a manifest is not complete.
///
/// # Errors
/// [`BuildError::Config`] before anything is read; [`BuildError::TooManyRejected`] before anything is sampled, with
/// `rejected.jsonl` written; [`BuildError::Model`], [`BuildError::Common`] and [`BuildError::AudioChanged`] later.
pub fn build(
    lalm: &Lalm,
    set: &QuestionSet,
    config: &BuildConfig,
    seed: u64,
    out: &Path,
    provenance: &Provenance,
    progress: fn(&str, u64) -> Progress,
) -> Result<BuildReport, BuildError> {
    config.check()?;
    let input = set.questions.len() + set.rejected.len();
    if input == 0 {
        return Err(BuildError::NoQuestions);
    }
    let bar = progress("reading audio", set.questions.len() as u64);
    let screened = screen(lalm, set, config, seed, &bar);
    bar.finish();
    check_rejected(&screened, input, config, out)?;

    let bar = progress("sampling", screened.usable.len() as u64);
    let samples = sample_all(lalm, &screened.usable, config, seed, &bar)?;
    bar.finish();

    open_folder(out)?;
    let rows = collect_rows(&screened.usable, samples, config, seed, out)?;
    rows.write(out)?;
    write_jsonl(&out.join(REJECTED_FILE), &screened.rejected)?;
    let counts = count(&screened, &rows, input);
    let mut manifest = DatasetManifest {
        format: FORMAT,
        program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
        seed,
        provenance: provenance.clone(),
        config: config.clone(),
        idk_share: IdkShares::of(&rows.labels, config.n_samples),
        counts,
        files: std::collections::BTreeMap::new(),
    };
    write_card(out, &manifest)?;
    for name in [SAMPLES_FILE, LABELS_FILE, SFT_FILE, DPO_FILE, REJECTED_FILE, README_FILE] {
        manifest.files.insert(name.to_owned(), file_entry(out, name)?);
    }
    manifest.write(out)?;
    Ok(BuildReport { counts: manifest.counts, idk_share: manifest.idk_share })
}

/// Every question is either usable or listed, and not too many are listed.
fn check_rejected(screened: &Screened, input: usize, config: &BuildConfig, out: &Path) -> Result<(), BuildError> {
    let (kept, rejected) = (screened.usable.len(), screened.rejected.len());
    if kept + rejected != input {
        return Err(BuildError::Unaccounted { input, kept, rejected });
    }
    if kept > 0 && rejected as f64 <= config.max_rejected_share * input as f64 {
        return Ok(());
    }
    open_folder(out)?;
    let list = out.join(REJECTED_FILE);
    write_jsonl(&list, &screened.rejected)?;
    Err(BuildError::TooManyRejected {
        rejected,
        total: input,
        max_share: config.max_rejected_share,
        reasons: screened.reasons(),
        list,
    })
}

fn collect_rows(
    usable: &[Usable],
    samples: Vec<Vec<SampleRow>>,
    config: &BuildConfig,
    seed: u64,
    out: &Path,
) -> Result<Rows, BuildError> {
    let mut rows = Rows::default();
    for (question, samples) in usable.iter().zip(samples) {
        let audios = question.original.audio.iter().map(|path| relative_to(out, path)).collect::<Result<_, _>>()?;
        let label = label(&question.original, &samples, config.k);
        rows.push(question, label, samples, audios, config, seed);
    }
    Ok(rows)
}

fn count(screened: &Screened, rows: &Rows, input: usize) -> Counts {
    let (known, unknown) = rows.label_counts();
    Counts {
        input,
        kept: screened.usable.len(),
        rejected: screened.rejected.len(),
        rejected_by_reason: screened.reasons(),
        cut_audio: screened.usable.iter().map(|question| question.cut_audio).sum(),
        samples: rows.samples.len(),
        correct: rows.sample_count(Verdict::Correct),
        wrong: rows.sample_count(Verdict::Wrong),
        refused: rows.sample_count(Verdict::Refused),
        known,
        unknown,
        sft_rows: rows.sft.len(),
        dpo_rows: rows.dpo.len(),
    }
}
