//! The shards of a dataset that is being sampled: which questions each holds, which are done, how they become
//! `samples.jsonl`.
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use idk_common::CommonError;
use idk_common::diagnose::{Diagnose, ExitKind};
use idk_common::fs::{self, AtomicFile};
use idk_common::json::{read_json, write_json};
use idk_questions::rows::SampleRow;

use crate::error::BuildError;
use crate::format::files::SAMPLES_FILE;
use crate::sample::identity::SamplingIdentity;
use crate::sample::part::SamplingPart;
use crate::sample::shard_file::{ShardState, read_shard, write_shard};

/// Folder of the shards in a dataset folder; it is gone once the dataset is complete.
const SHARDS_DIR: &str = "shards";

/// What the shards of the folder are sampled with; written before the first of them.
const SHARDS_IDENTITY_FILE: &str = "sampling.json";

/// The shards of one dataset folder.
#[derive(Debug)]
pub(crate) struct Shards {
    dir: PathBuf,
    identity: SamplingIdentity,
    sampling_sha256: String,
}

impl Shards {
    /// Opens the folder of the shards in `dataset`, making it if need be.
    ///
    /// # Errors
    /// [`BuildError::OtherSampling`] if it holds shards of something else; nothing has changed then.
    pub(crate) fn open(
        dataset: &Path,
        identity: SamplingIdentity,
        warn: &dyn Fn(&str),
    ) -> Result<Self, BuildError> {
        let shards = Self::at(dataset, identity);
        match read_json::<SamplingIdentity>(&shards.identity_file()) {
            Ok(before) if before == shards.identity => {}
            Ok(before) => {
                let differences = SamplingIdentity::differences(&before, &shards.identity);
                return Err(BuildError::OtherSampling { dir: shards.dir, differences });
            }
            Err(CommonError::NotFound { .. }) => {}
            // Each shard names its identity too, so those that belong here are still found.
            Err(error) if error.exit_kind() == ExitKind::BadData => {
                warn(&format!("{error}; it is written again"));
            }
            Err(error) => return Err(error.into()),
        }
        fs::create_dir_all(&shards.dir)?;
        fs::remove_temporaries(&shards.dir)?;
        write_json(&shards.identity_file(), &shards.identity)?;
        Ok(shards)
    }

    /// The shards in `dataset`, which may not exist.
    pub(crate) fn at(dataset: &Path, identity: SamplingIdentity) -> Self {
        let sampling_sha256 = identity.sha256();
        Self { dir: dataset.join(SHARDS_DIR), identity, sampling_sha256 }
    }

    pub(crate) fn count(&self) -> usize {
        self.identity.shard_count()
    }

    /// Places of a shard's questions among the usable ones.
    pub(crate) fn questions(&self, shard: usize) -> Range<usize> {
        let (size, all) = (self.identity.build.shard_size(), self.identity.usable_questions);
        shard * size..((shard + 1) * size).min(all)
    }

    /// Name of a shard's file.
    pub(crate) fn name(shard: usize) -> String {
        format!("{shard:05}.jsonl")
    }

    fn identity_file(&self) -> PathBuf {
        self.dir.join(SHARDS_IDENTITY_FILE)
    }

    /// What lies where a shard should be.
    pub(crate) fn read(&self, shard: usize) -> Result<ShardState, CommonError> {
        read_shard(&self.dir.join(Self::name(shard)), shard, &self.sampling_sha256)
    }

    /// Keeps the samples of a shard, in the order of its questions.
    pub(crate) fn write(&self, shard: usize, rows: &[SampleRow]) -> Result<(), CommonError> {
        write_shard(&self.dir.join(Self::name(shard)), shard, &self.sampling_sha256, rows)
    }

    /// The shards of a part that are still to be sampled; damaged ones with one warning for all of them.
    pub(crate) fn missing(&self, part: SamplingPart, warn: &dyn Fn(&str)) -> Result<Vec<usize>, CommonError> {
        let (mut missing, mut damaged) = (Vec::new(), Vec::new());
        for shard in (0..self.count()).filter(|&shard| part.has(shard)) {
            match self.read(shard)? {
                ShardState::Samples(_) => continue,
                ShardState::Damaged => damaged.push(Self::name(shard)),
                ShardState::Nothing => {}
            }
            missing.push(shard);
        }
        if !damaged.is_empty() {
            let dir = self.dir.display();
            warn(&format!("damaged, sampled again: {} in `{dir}`", damaged.join(", ")));
        }
        Ok(missing)
    }

    /// Writes `samples.jsonl` of the dataset: the rows of all shards one after the other.
    ///
    /// # Errors
    /// [`BuildError::MissingShards`] if one of them is not there or not whole.
    pub(crate) fn join(&self, dataset: &Path) -> Result<(), BuildError> {
        let mut samples = AtomicFile::create(&dataset.join(SAMPLES_FILE))?;
        for shard in 0..self.count() {
            match self.read(shard)? {
                ShardState::Samples(rows) => samples.put(&rows)?,
                ShardState::Damaged | ShardState::Nothing => {
                    let missing = vec![Self::name(shard)];
                    return Err(BuildError::MissingShards { missing, total: self.count() });
                }
            }
        }
        Ok(samples.commit()?)
    }

    /// Takes a shard over from another folder, as it is.
    pub(crate) fn copy(&self, shard: usize, from: &Self) -> Result<(), CommonError> {
        let name = Self::name(shard);
        fs::write_atomic(&self.dir.join(&name), &fs::read(&from.dir.join(&name))?)
    }
}

/// What the shards in a dataset folder were sampled with; `None` if there are none.
///
/// # Errors
/// [`BuildError::Common`] for a file that cannot be read.
pub fn partial_sampling(dataset: &Path) -> Result<Option<SamplingIdentity>, BuildError> {
    match read_json(&dataset.join(SHARDS_DIR).join(SHARDS_IDENTITY_FILE)) {
        Err(CommonError::NotFound { .. }) => Ok(None),
        read => Ok(Some(read?)),
    }
}

/// Removes the shards of a dataset that is complete.
///
/// # Errors
/// [`BuildError::Common`] that names the folder.
pub fn remove_shards(dataset: &Path) -> Result<(), BuildError> {
    let dir = dataset.join(SHARDS_DIR);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(CommonError::io("remove", &dir)(error).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use idk_questions::{PackedQuestions, Verdict};

    use super::*;
    use crate::config::BuildConfig;
    use crate::format::sampled::Provenance;
    use crate::sample::screened::ScreenedSet;

    /// The identity of `questions` questions in shards of 4.
    fn identity(questions: usize) -> SamplingIdentity {
        let config = BuildConfig { shard_size: 4, ..BuildConfig::default() };
        let none = PackedQuestions::default();
        let none = ScreenedSet::new(&none, None, Vec::new());
        let none = SamplingIdentity::of(&none, &config, 1, &Provenance::default());
        SamplingIdentity { usable_questions: questions, ..none }
    }

    fn rows(shards: &Shards, shard: usize) -> Vec<SampleRow> {
        let row = |question: usize| SampleRow {
            id: format!("q{question}"),
            sample: 0,
            seed: 0,
            text: "dog".to_owned(),
            verdict: Verdict::Correct,
            choice: Some(0),
            log_prob: Some(-0.1),
            tokens: None,
        };
        shards.questions(shard).map(row).collect()
    }

    fn open(dataset: &Path) -> Shards {
        Shards::open(dataset, identity(10), &|warning| panic!("{warning}")).unwrap()
    }

    #[test]
    fn the_shards_hold_every_question_once_in_order() {
        for questions in 1..14 {
            let shards = Shards::at(Path::new("d"), identity(questions));
            let all: Vec<usize> = (0..shards.count()).flat_map(|shard| shards.questions(shard)).collect();
            assert_eq!(all, (0..questions).collect::<Vec<_>>());
        }
    }

    #[test]
    fn joined_shards_are_the_rows_in_the_order_of_the_questions_whatever_the_order_of_sampling() {
        let dir = tempfile::tempdir().unwrap();
        let shards = open(dir.path());
        assert_eq!(shards.missing(SamplingPart::WHOLE, &|_| ()).unwrap(), [0, 1, 2]);
        for shard in [2, 0] {
            shards.write(shard, &rows(&shards, shard)).unwrap();
        }
        let again = open(dir.path());
        assert_eq!(again.missing(SamplingPart::WHOLE, &|_| ()).unwrap(), [1]);
        assert!(matches!(again.join(dir.path()), Err(BuildError::MissingShards { total: 3, .. })));
        assert!(!dir.path().join(SAMPLES_FILE).exists());
        again.write(1, &rows(&again, 1)).unwrap();
        again.join(dir.path()).unwrap();
        let read: Vec<SampleRow> = idk_common::json::read_jsonl(&dir.path().join(SAMPLES_FILE)).unwrap();
        let ids: Vec<String> = read.into_iter().map(|row| row.id).collect();
        assert_eq!(ids, (0..10).map(|question| format!("q{question}")).collect::<Vec<_>>());
        remove_shards(dir.path()).unwrap();
        remove_shards(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_shards_are_missing_with_one_warning_that_names_them() {
        let dir = tempfile::tempdir().unwrap();
        let shards = open(dir.path());
        for shard in 0..3 {
            shards.write(shard, &rows(&shards, shard)).unwrap();
        }
        for name in ["00000.jsonl", "00002.jsonl"] {
            let path = dir.path().join("shards").join(name);
            let bytes = fs::read(&path).unwrap();
            fs::write_atomic(&path, &bytes[..bytes.len() - 3]).unwrap();
        }
        let warnings = RefCell::new(Vec::new());
        let missing =
            shards.missing(SamplingPart::WHOLE, &|line| warnings.borrow_mut().push(line.to_owned())).unwrap();
        assert_eq!(missing, [0, 2]);
        let warnings = warnings.into_inner();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("00000.jsonl, 00002.jsonl"), "{warnings:?}");
    }

    #[test]
    fn shards_of_another_sampling_are_refused_with_what_differs_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let shards = open(dir.path());
        shards.write(0, &rows(&shards, 0)).unwrap();
        let other = SamplingIdentity { seed: 2, model_sha256: "ab".to_owned(), ..identity(10) };
        let error = Shards::open(dir.path(), other, &|_| ()).unwrap_err();
        assert_eq!(error.exit_kind(), ExitKind::BadData);
        let text = error.to_string();
        assert!(text.contains("`seed` was 1 and is 2 now") && text.contains("model_sha256"), "{text}");
        assert_eq!(open(dir.path()).missing(SamplingPart::WHOLE, &|_| ()).unwrap(), [1, 2]);
    }

    #[test]
    fn a_damaged_list_of_settings_costs_no_shard() {
        let dir = tempfile::tempdir().unwrap();
        let shards = open(dir.path());
        shards.write(0, &rows(&shards, 0)).unwrap();
        fs::write_atomic(&dir.path().join("shards").join(SHARDS_IDENTITY_FILE), b"{\"torn").unwrap();
        let warnings = RefCell::new(0);
        Shards::open(dir.path(), identity(10), &|_| *warnings.borrow_mut() += 1).unwrap();
        assert_eq!(warnings.into_inner(), 1);
        assert_eq!(open(dir.path()).missing(SamplingPart::WHOLE, &|_| ()).unwrap(), [1, 2]);
    }
}
