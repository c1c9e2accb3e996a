//! Other labels for the same samples: in place, or as another dataset.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::json::{JsonlReader, JsonlWriter};
use idk_common::{CommonError, fs};
use idk_questions::rows::SampleRow;

use crate::config::BuildConfig;
use crate::error::BuildError;
use crate::format::files::{
    MANIFEST_FILE, QUESTIONS_FILE, REJECTED_FILE, SAMPLED_FILE, SAMPLES_FILE, mark_incomplete, open_folder,
    relative_to,
};
use crate::format::question_row::QuestionRow;
use crate::format::sampled::Sampled;
use crate::label::finish::{BuildReport, Labelled, finish};

/// Labels the samples of the dataset in `dir` again, in place.
///
/// All is read and checked before anything changes. Then the manifest goes, `sampling.json` gets the new settings, and
/// `between` is called, for what must change together with the dataset; the new files follow and the manifest comes
/// last. After a kill in between the dataset is incomplete and says so, and the same call completes it; questions and
/// samples are never touched.
///
/// # Errors
/// [`BuildError::Config`] for settings that cannot be used, [`BuildError::SamplingKey`] for settings that need other
/// samples, [`BuildError::Undecided`] for a K that the samples do not decide, [`BuildError::NotSampled`],
/// [`BuildError::Dataset`], [`BuildError::Common`].
pub fn relabel(
    dir: &Path,
    config: &BuildConfig,
    between: impl FnOnce() -> Result<(), CommonError>,
) -> Result<BuildReport, BuildError> {
    let sampled = relabelled(dir, config)?;
    fs::remove_temporaries(dir)?;
    let labelled = Labelled::read(dir, &sampled)?;
    mark_incomplete(dir)?;
    sampled.write(dir)?;
    between()?;
    labelled.publish(dir, &sampled)
}

/// Labels the samples of the dataset in `dir` again, as a dataset of its own in `out`. Recordings stay where they are.
///
/// # Errors
/// As [`relabel`], and [`BuildError::Taken`] if `out` already holds a dataset.
pub fn relabel_to(dir: &Path, out: &Path, config: &BuildConfig) -> Result<BuildReport, BuildError> {
    let sampled = relabelled(dir, config)?;
    // What an earlier call left is written over, another dataset's samples are not.
    let other = |there: Sampled| there.files.get(SAMPLES_FILE) != sampled.files.get(SAMPLES_FILE);
    if out.join(MANIFEST_FILE).exists()
        || (out.join(SAMPLED_FILE).exists() && Sampled::read(out).map_or(true, other))
    {
        return Err(BuildError::Taken { dir: out.to_owned() });
    }
    open_folder(out)?;
    copy_questions(dir, out)?;
    let mut samples = JsonlWriter::create(&out.join(SAMPLES_FILE))?;
    for row in JsonlReader::<SampleRow>::open(&dir.join(SAMPLES_FILE))? {
        samples.put(&row?)?;
    }
    samples.commit()?;
    fs::write_atomic(&out.join(REJECTED_FILE), &fs::read(&dir.join(REJECTED_FILE))?)?;
    finish(out, config, sampled.seed, &sampled.provenance, &sampled.screening)
}

/// What `sampling.json` will say, if `config` can be had from these samples.
fn relabelled(dir: &Path, config: &BuildConfig) -> Result<Sampled, BuildError> {
    config.validate_labels()?;
    let sampled = Sampled::read(dir)?;
    if sampled.config.labelled_as(config) != *config {
        return Err(BuildError::SamplingKey { key: first_difference(&sampled.config, config) });
    }
    sampled.verify(dir)?;
    Ok(Sampled { config: config.clone(), ..sampled })
}

/// The first key that other labels cannot change, and that differs.
fn first_difference(before: &BuildConfig, now: &BuildConfig) -> String {
    let values = |config: &BuildConfig| serde_json::to_value(config).unwrap_or_default();
    let (before, now) = (values(&before.labelled_as(now)), values(now));
    let mut keys = now.as_object().into_iter().flat_map(|now| now.keys());
    keys.find(|key| before.get(key) != now.get(key)).cloned().unwrap_or_default()
}

/// Copies the questions with the paths of their recordings as seen from `out`.
fn copy_questions(dir: &Path, out: &Path) -> Result<(), BuildError> {
    let mut folders: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut questions = JsonlWriter::create(&out.join(QUESTIONS_FILE))?;
    for row in JsonlReader::<QuestionRow>::open(&dir.join(QUESTIONS_FILE))? {
        let mut row = row?;
        for audio in &mut row.audios {
            let path = dir.join(&*audio);
            let (folder, name) = (path.parent().unwrap_or(dir).to_owned(), audio.rsplit('/').next());
            let name = name.unwrap_or_default().to_owned();
            let seen = match folders.get(&folder) {
                Some(seen) => seen,
                None => {
                    let seen = relative_to(out, &folder.join("x"))?;
                    folders.entry(folder).or_insert(seen.trim_end_matches('x').to_owned())
                }
            };
            *audio = format!("{seen}{name}");
        }
        questions.put(&row)?;
    }
    Ok(questions.commit()?)
}
