//! The files of a dataset, all of them written whole or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use idk_common::hash::sha256_file;
use idk_common::json::write_jsonl;
use idk_common::manifest::FileEntry;
use idk_common::{CommonError, atomic};
use idk_questions::Verdict;
use idk_questions::rows::{ChatMessage, Label, LabelRow, SampleRow, SftRow};
use serde::{Deserialize, Serialize};

use crate::config::BuildConfig;
use crate::error::BuildError;
use crate::label::target_text;
use crate::manifest::MANIFEST_FILE;
use crate::screen::{AUDIO_TAG, Usable};

/// Every sampled answer.
pub const SAMPLES_FILE: &str = "samples.jsonl";
/// One label a question.
pub const LABELS_FILE: &str = "labels.jsonl";
/// Chats for supervised fine-tuning.
pub const SFT_FILE: &str = "sft.jsonl";
/// Preference pairs.
pub const DPO_FILE: &str = "dpo.jsonl";
/// Questions that could not be used.
pub const REJECTED_FILE: &str = "rejected.jsonl";
/// The dataset card.
pub const README_FILE: &str = "README.md";

/// A preference pair in the conversational form that TRL reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DpoRow {
    /// The question's id.
    pub id: String,
    /// The user's message, with one `<audio>` tag for each recording.
    pub prompt: Vec<ChatMessage>,
    /// The better answer: the right one if the question is known, else the refusal.
    pub chosen: Vec<ChatMessage>,
    /// The worse answer: the refusal if the question is known, else a wrong sample.
    pub rejected: Vec<ChatMessage>,
    /// The recordings, relative to the dataset folder.
    pub audios: Vec<String>,
    /// Why the pair is this way round.
    pub label: Label,
}

/// All rows of a dataset, ready to be written.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) samples: Vec<SampleRow>,
    pub(crate) labels: Vec<LabelRow>,
    pub(crate) sft: Vec<SftRow>,
    pub(crate) dpo: Vec<DpoRow>,
}

impl Rows {
    /// Adds the training rows of one labelled question.
    pub(crate) fn push(
        &mut self,
        question: &Usable,
        label: LabelRow,
        samples: Vec<SampleRow>,
        audios: Vec<String>,
        config: &BuildConfig,
        run_seed: u64,
    ) {
        let user = question.user_message(config);
        let target = target_text(&question.original, &label, &samples, config, run_seed);
        for (chosen, rejected) in preferences(&label, &target, &samples, config) {
            self.dpo.push(DpoRow {
                id: label.id.clone(),
                prompt: vec![user.clone()],
                chosen: vec![ChatMessage::assistant(&chosen)],
                rejected: vec![ChatMessage::assistant(&rejected)],
                audios: audios.clone(),
                label: label.label,
            });
        }
        self.sft.push(SftRow {
            id: label.id.clone(),
            messages: vec![user, ChatMessage::assistant(&target)],
            audios,
            label: label.label,
        });
        self.samples.extend(samples);
        self.labels.push(label);
    }

    /// Number of labels of either kind: (known, unknown).
    pub(crate) fn label_counts(&self) -> (usize, usize) {
        let count = |label| self.labels.iter().filter(|row| row.label == label).count();
        (count(Label::Known), count(Label::Unknown))
    }

    /// Number of samples with a verdict.
    pub(crate) fn sample_count(&self, verdict: Verdict) -> usize {
        self.samples.iter().filter(|row| row.verdict == verdict).count()
    }

    /// Writes the four row files.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), CommonError> {
        write_jsonl(&dir.join(SAMPLES_FILE), &self.samples)?;
        write_jsonl(&dir.join(LABELS_FILE), &self.labels)?;
        write_jsonl(&dir.join(SFT_FILE), &self.sft)?;
        write_jsonl(&dir.join(DPO_FILE), &self.dpo)
    }
}

/// (better, worse) answers, as in Cheng et al. 2024: the right answer before the refusal if the question is known,
/// else the refusal before each different wrong sample.
fn preferences(
    label: &LabelRow,
    target: &str,
    samples: &[SampleRow],
    config: &BuildConfig,
) -> Vec<(String, String)> {
    if label.label == Label::Known {
        return vec![(target.to_owned(), config.refusal.clone())];
    }
    let mut seen = BTreeSet::new();
    let wrong = samples.iter().filter(|row| row.verdict == Verdict::Wrong).map(|row| row.text.trim());
    wrong
        .filter(|text| !text.is_empty() && !text.contains(AUDIO_TAG) && seen.insert(text.to_owned()))
        .map(|text| (target.to_owned(), text.to_owned()))
        .collect()
}

/// Makes the folder and takes away the mark of completeness of what may be there, before a file of it changes.
pub(crate) fn open_folder(dir: &Path) -> Result<(), CommonError> {
    atomic::create_dir_all(dir)?;
    atomic::remove_temporaries(dir)?;
    let manifest = dir.join(MANIFEST_FILE);
    match fs::remove_file(&manifest) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(CommonError::io("remove", &manifest)(error)),
        _ => Ok(()),
    }
}

/// Size and hash of a file of the dataset.
pub(crate) fn file_entry(dir: &Path, name: &str) -> Result<FileEntry, CommonError> {
    let path = dir.join(name);
    let (_, bytes) = atomic::open(&path)?;
    Ok(FileEntry { sha256: sha256_file(&path)?, bytes })
}

/// `path` as seen from the folder `dir`, with `/` between its parts.
///
/// Relative paths let a run folder move as a whole, and give the same bytes wherever it stands. Links in the way are
/// resolved first, as `..` means the real parent.
pub(crate) fn relative_to(dir: &Path, path: &Path) -> Result<String, BuildError> {
    let real_dir = real_path(dir)?;
    let parent =
        real_path(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    let real = parent.join(path.file_name().unwrap_or_default());
    let mut from = real_dir.components().peekable();
    let mut to = real.components().peekable();
    while from.peek().is_some() && from.peek() == to.peek() {
        from.next();
        to.next();
    }
    let up = from.map(|_| "..".to_owned());
    let down = to.map(|part| part_text(part, path)).collect::<Result<Vec<_>, _>>()?;
    Ok(up.chain(down).collect::<Vec<_>>().join("/"))
}

fn part_text(part: Component<'_>, path: &Path) -> Result<String, BuildError> {
    let text = part.as_os_str().to_str();
    text.map(str::to_owned).ok_or_else(|| BuildError::PathNotText { path: path.to_owned() })
}

fn real_path(path: &Path) -> Result<PathBuf, CommonError> {
    fs::canonicalize(path).map_err(CommonError::reading("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_named_as_seen_from_the_dataset_folder() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("run/dataset");
        let audio = root.path().join("run/data/audio");
        atomic::create_dir_all(&dir).unwrap();
        atomic::create_dir_all(&audio).unwrap();
        let name = relative_to(&dir, &audio.join("a b.wav")).unwrap();
        assert_eq!(name, "../data/audio/a b.wav");
        assert_eq!(relative_to(&dir, &dir.join("c.wav")).unwrap(), "c.wav");
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_dataset_folder_still_finds_its_recordings() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().join("elsewhere/deep/dataset");
        atomic::create_dir_all(&real).unwrap();
        std::os::unix::fs::symlink(&real, root.path().join("dataset")).unwrap();
        atomic::write_atomic(&root.path().join("a.wav"), b"x").unwrap();
        let linked = root.path().join("dataset");
        let name = relative_to(&linked, &root.path().join("a.wav")).unwrap();
        assert_eq!(atomic::read(&linked.join(name)).unwrap(), b"x");
    }

    #[test]
    fn preference_pairs_put_the_refusal_below_a_known_and_above_a_wrong_answer() {
        let sample = |text: &str, verdict| SampleRow {
            id: "q".to_owned(),
            sample: 0,
            seed: 0,
            text: text.to_owned(),
            verdict,
            choice: None,
            log_prob: 0.0,
        };
        let samples = [
            sample("dog", Verdict::Correct),
            sample("cat", Verdict::Wrong),
            sample(" cat", Verdict::Wrong),
            sample("", Verdict::Wrong),
            sample("cow", Verdict::Wrong),
        ];
        let config = BuildConfig::default();
        let label = |label| LabelRow {
            id: "q".to_owned(),
            n: 5,
            correct: 1,
            refused: 0,
            wrong: 4,
            label,
            task: String::new(),
            sub_category: String::new(),
        };
        let pair = |better: &str, worse: &str| (better.to_owned(), worse.to_owned());
        assert_eq!(
            preferences(&label(Label::Known), "dog", &samples, &config),
            [pair("dog", "I don't know")]
        );
        assert_eq!(
            preferences(&label(Label::Unknown), "I don't know", &samples, &config),
            [pair("I don't know", "cat"), pair("I don't know", "cow")]
        );
    }

    #[test]
    fn opening_a_folder_takes_its_mark_of_completeness_away() {
        let dir = tempfile::tempdir().unwrap();
        atomic::write_atomic(&dir.path().join(MANIFEST_FILE), b"{}").unwrap();
        open_folder(dir.path()).unwrap();
        assert!(!dir.path().join(MANIFEST_FILE).exists());
        open_folder(dir.path()).unwrap();
    }
}
