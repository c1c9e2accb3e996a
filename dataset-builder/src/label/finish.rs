//! From samples to a dataset: labels, training rows, validation rows, card, manifest. No model is needed, and no more
//! than one question with its samples is in memory.

use std::path::Path;

use idk_common::chat::Message;
use idk_common::json::JsonlWriter;
use idk_common::{CommonError, fs};
use idk_questions::rows::{Label, LabelRow, SampleRow, SftRow};

use crate::config::BuildConfig;
use crate::error::BuildError;
use crate::format::calibrated::CalibratedRow;
use crate::format::files::{LABELS_FILE, SAMPLED_FILE, TRAIN_FILES, VAL_FILES, file_entry, mark_incomplete};
use crate::format::manifest::{DatasetCounts, DatasetManifest, FORMAT};
use crate::format::pairs::DpoRow;
use crate::format::question_row::QuestionRow;
use crate::format::questions_with_samples::QuestionsWithSamples;
use crate::format::sampled::{Provenance, Sampled, Screening};
use crate::format::shares::IdkShares;
use crate::label::card::write_card;
use crate::label::own_answer::own_answer;
use crate::label::split::{DatasetSplit, Splitter};
use crate::label::tally::ShareTally;
use crate::label::targets::{is_decided, label, only_keeps, preferences, refusal_text, target_text};

/// What a build did.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildReport {
    /// How many of everything.
    pub counts: DatasetCounts,
    /// Share of unknown questions for every K.
    pub idk_share: IdkShares,
}

/// Makes the dataset of the finished sampling in `dir`, where `questions.jsonl`, `samples.jsonl` and `rejected.jsonl`
/// are written: closes it with `sampling.json`, then labels. The number of samples may differ between questions, as
/// long as they decide the label.
///
/// # Errors
/// [`BuildError::Dataset`] for files that do not fit, [`BuildError::Undecided`] for a question with too few samples,
/// [`BuildError::Config`] for a refusal that answers a question, [`BuildError::Common`].
pub fn finish(
    dir: &Path,
    config: &BuildConfig,
    seed: u64,
    provenance: &Provenance,
    screening: &Screening,
) -> Result<BuildReport, BuildError> {
    config.validate_labels()?;
    mark_incomplete(dir)?;
    let sampled = Sampled::seal(dir, config, seed, provenance, screening)?;
    Labelled::read(dir, &sampled)?.publish(dir, &sampled)
}

/// Labels the samples in `dir` as its `sampling.json` says: what is left to do after a kill in between.
///
/// # Errors
/// As [`finish`], and [`BuildError::Common`] if the samples are not as they were sampled.
pub fn complete(dir: &Path) -> Result<BuildReport, BuildError> {
    let sampled = Sampled::read(dir)?;
    sampled.verify(dir)?;
    fs::remove_temporaries(dir)?;
    mark_incomplete(dir)?;
    Labelled::read(dir, &sampled)?.publish(dir, &sampled)
}

/// The files of a split of the questions: chats, preference pairs, and rows of calibrated refusal.
struct RowFiles {
    sft: JsonlWriter,
    dpo: JsonlWriter,
    calibrated: JsonlWriter,
}

impl RowFiles {
    fn create(dir: &Path, names: [&str; 3]) -> Result<Self, CommonError> {
        let [sft, dpo, calibrated] = names.map(|name| JsonlWriter::create(&dir.join(name)));
        Ok(Self { sft: sft?, dpo: dpo?, calibrated: calibrated? })
    }

    fn commit(self) -> Result<(), CommonError> {
        self.sft.commit()?;
        self.dpo.commit()?;
        self.calibrated.commit()
    }
}

/// A labelled dataset whose files are written but not yet in their places.
pub(crate) struct Labelled {
    labels: JsonlWriter,
    train: RowFiles,
    val: Option<RowFiles>,
    counts: DatasetCounts,
    idk_share: IdkShares,
}

impl Labelled {
    /// Labels the samples in `dir`. Nothing that is there changes.
    pub(crate) fn read(dir: &Path, sampled: &Sampled) -> Result<Self, BuildError> {
        let config = &sampled.config;
        let mut labelled = Self {
            labels: JsonlWriter::create(&dir.join(LABELS_FILE))?,
            train: RowFiles::create(dir, TRAIN_FILES)?,
            val: match config.val_share > 0.0 {
                true => Some(RowFiles::create(dir, VAL_FILES)?),
                false => None,
            },
            counts: screened_counts(&sampled.screening),
            idk_share: IdkShares::default(),
        };
        let splits =
            labelled.label_all(QuestionsWithSamples::open(dir, config.n_samples)?, config, sampled.seed)?;
        if labelled.counts.known + labelled.counts.unknown != labelled.counts.kept {
            let (found, kept) = (labelled.counts.known + labelled.counts.unknown, labelled.counts.kept);
            let what = format!("{kept} questions were kept, but {found} are in the files");
            return Err(BuildError::Dataset { path: dir.join(SAMPLED_FILE), what });
        }
        labelled.write_rows(
            QuestionsWithSamples::open(dir, config.n_samples)?,
            splits.as_deref(),
            config,
            sampled.seed,
        )?;
        Ok(labelled)
    }

    /// First pass: labels, counts and shares, and the split of every question.
    fn label_all(
        &mut self,
        mut joined: QuestionsWithSamples,
        config: &BuildConfig,
        seed: u64,
    ) -> Result<Option<Vec<DatasetSplit>>, BuildError> {
        let mut shares = ShareTally::new(config.n_samples);
        let mut splitter = Splitter::new(config, seed);
        while let Some((question, samples)) = joined.next_question()? {
            let row = label(&question, &samples, config.k);
            if !is_decided(&row, config.k, config.n_samples) {
                return Err(BuildError::Undecided {
                    id: row.id,
                    k: config.k,
                    n: row.n,
                    n_samples: config.n_samples,
                });
            }
            shares.add(&question, &row);
            splitter.push(&question, trained_label(&question, &row, config));
            let counts = &mut self.counts;
            counts.samples += row.n;
            counts.correct += row.correct;
            counts.wrong += row.wrong;
            counts.refused += row.refused;
            match row.label {
                Label::Known => counts.known += 1,
                Label::Unknown => counts.unknown += 1,
            }
            counts.unanswerable += usize::from(row.unanswerable.is_some());
            self.labels.put(&row)?;
        }
        self.idk_share = shares.shares();
        Ok(splitter.splits())
    }

    /// Second pass: the rows of every question in the files of its split.
    fn write_rows(
        &mut self,
        mut joined: QuestionsWithSamples,
        splits: Option<&[DatasetSplit]>,
        config: &BuildConfig,
        seed: u64,
    ) -> Result<(), BuildError> {
        let mut place = 0;
        while let Some((question, samples)) = joined.next_question()? {
            let split = splits.and_then(|splits| splits.get(place)).copied().unwrap_or(DatasetSplit::Train);
            place += 1;
            let refusal = refusal_text(&question, config, seed)?;
            let files = match (split, &mut self.val) {
                (DatasetSplit::Train, _) => &mut self.train,
                (DatasetSplit::Val, Some(val)) => val,
                _ => {
                    self.counts.left_out += 1;
                    continue;
                }
            };
            if !put_rows(files, &question, &samples, refusal, config, seed)? {
                self.counts.left_out += 1;
            }
        }
        self.counts.sft_rows = self.train.sft.rows();
        self.counts.dpo_rows = self.train.dpo.rows();
        self.counts.calibrated_rows = self.train.calibrated.rows();
        if let Some(val) = &self.val {
            self.counts.sft_val_rows = val.sft.rows();
            self.counts.dpo_val_rows = val.dpo.rows();
            self.counts.calibrated_val_rows = val.calibrated.rows();
        }
        Ok(())
    }

    /// Puts all files in their places, the manifest last. `dir` must be marked as incomplete.
    pub(crate) fn publish(self, dir: &Path, sampled: &Sampled) -> Result<BuildReport, BuildError> {
        // Not the card: it is its owner's to edit.
        let mut names = vec![LABELS_FILE];
        names.extend(TRAIN_FILES);
        self.labels.commit()?;
        self.train.commit()?;
        if let Some(val) = self.val {
            val.commit()?;
            names.extend(VAL_FILES);
        } else {
            for name in VAL_FILES {
                fs::remove_if_exists(&dir.join(name))?;
            }
        }
        let mut manifest = DatasetManifest {
            format: FORMAT,
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            seed: sampled.seed,
            provenance: sampled.provenance.clone(),
            config: sampled.config.clone(),
            idk_share: self.idk_share,
            counts: self.counts,
            files: sampled.files.clone(),
        };
        write_card(dir, &manifest)?;
        names.push(SAMPLED_FILE);
        for name in names {
            manifest.files.insert(name.to_owned(), file_entry(dir, name)?);
        }
        manifest.write(dir)?;
        Ok(BuildReport { counts: manifest.counts, idk_share: manifest.idk_share })
    }
}

fn screened_counts(screening: &Screening) -> DatasetCounts {
    DatasetCounts {
        input: screening.input,
        kept: screening.kept,
        rejected: screening.rejected,
        rejected_by_reason: screening.rejected_by_reason.clone(),
        cut_audio: screening.cut_audio,
        noted_audio: screening.noted_audio.clone(),
        ..DatasetCounts::default()
    }
}

/// Writes the rows of a question; `false` if it has none: one that only keeps its own answer, and has no own answer.
fn put_rows(
    files: &mut RowFiles,
    question: &QuestionRow,
    samples: &[SampleRow],
    refusal: &str,
    config: &BuildConfig,
    seed: u64,
) -> Result<bool, CommonError> {
    let (keeps, own) = (only_keeps(question, config), own_answer(samples));
    let counted = label(question, samples, config.k);
    let label = trained_label(question, &counted, config);
    let target = match (keeps, own) {
        (false, _) => target_text(question, label, samples, refusal, config.target, seed),
        (true, Some(own)) => own.to_owned(),
        (true, None) => return Ok(false),
    };
    for (chosen, rejected) in preferences(label, &target, refusal, samples, config.max_pairs_per_question) {
        files.dpo.put(&DpoRow {
            id: question.id.clone(),
            prompt: vec![question.user()],
            chosen: vec![Message::assistant(&chosen)],
            rejected: vec![Message::assistant(&rejected)],
            audios: question.audios.clone(),
            label,
        })?;
    }
    if let Some(own) = own {
        let error_rate = (counted.n - counted.correct) as f64 / counted.n as f64;
        files.calibrated.put(&CalibratedRow {
            id: question.id.clone(),
            prompt: vec![question.user()],
            own: vec![Message::assistant(own)],
            refusal: vec![Message::assistant(refusal)],
            error_rate: (!keeps).then_some(error_rate),
            audios: question.audios.clone(),
        })?;
    }
    files.sft.put(&SftRow {
        id: question.id.clone(),
        messages: vec![question.user(), Message::assistant(&target)],
        audios: question.audios.clone(),
        label,
    })?;
    Ok(true)
}

/// The label as the rows have it: a question that only keeps its own answer is answered, as a known one.
fn trained_label(question: &QuestionRow, counted: &LabelRow, config: &BuildConfig) -> Label {
    if only_keeps(question, config) { Label::Known } else { counted.label }
}
