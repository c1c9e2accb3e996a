//! Merges what several machines have sampled.

use std::path::{Path, PathBuf};

use crate::error::BuildError;
use crate::sample::identity::SamplingIdentity;
use crate::sample::shard_file::ShardState;
use crate::sample::shards::{Shards, partial_sampling};

/// Every shard of one build, spread over several dataset folders.
#[derive(Debug)]
pub struct SampledParts {
    identity: SamplingIdentity,
    folders: Vec<Shards>,
    /// For each shard the folder that has it.
    holders: Vec<usize>,
}

impl SampledParts {
    /// Looks whether the dataset folders of the parts hold every shard, undamaged, of one and the same sampling.
    ///
    /// # Errors
    /// [`BuildError::NoShards`], [`BuildError::OtherSampling`] with what differs from the first folder,
    /// [`BuildError::MissingShards`]; [`BuildError::Common`] for a file that cannot be read.
    pub fn find(datasets: &[PathBuf]) -> Result<Self, BuildError> {
        let mut parts: Option<(SamplingIdentity, Vec<Shards>)> = None;
        for dataset in datasets {
            let identity =
                partial_sampling(dataset)?.ok_or_else(|| BuildError::NoShards { dir: dataset.clone() })?;
            let (first, folders) = parts.get_or_insert_with(|| (identity.clone(), Vec::new()));
            if *first != identity {
                let differences = SamplingIdentity::differences(&identity, first);
                return Err(BuildError::OtherSampling { dir: dataset.clone(), differences });
            }
            folders.push(Shards::at(dataset, identity));
        }
        let (identity, folders) = parts.ok_or_else(|| BuildError::NoShards { dir: PathBuf::new() })?;
        let holders = holders(&folders, identity.shard_count())?;
        Ok(Self { identity, folders, holders })
    }

    /// Copies the shards into `dataset`, where the next build finds that nothing is left to sample.
    ///
    /// # Errors
    /// [`BuildError::OtherSampling`] if shards of something else are there; [`BuildError::Common`].
    pub fn copy_into(&self, dataset: &Path, warn: &dyn Fn(&str)) -> Result<(), BuildError> {
        let target = Shards::open(dataset, self.identity.clone(), warn)?;
        for (shard, &holder) in self.holders.iter().enumerate() {
            target.copy(shard, &self.folders[holder])?;
        }
        Ok(())
    }
}

fn holders(folders: &[Shards], count: usize) -> Result<Vec<usize>, BuildError> {
    let mut missing = Vec::new();
    let mut holders = Vec::with_capacity(count);
    for shard in 0..count {
        let mut holder = None;
        for (index, folder) in folders.iter().enumerate() {
            if matches!(folder.read(shard)?, ShardState::Samples(_)) {
                holder = Some(index);
                break;
            }
        }
        match holder {
            Some(index) => holders.push(index),
            None => missing.push(Shards::name(shard)),
        }
    }
    if missing.is_empty() { Ok(holders) } else { Err(BuildError::MissingShards { missing, total: count }) }
}

#[cfg(test)]
mod tests {
    use idk_model::{Answerer, Lalm};
    use idk_questions::{PackedSet, QuestionSet};

    use super::*;
    use crate::config::{BuildConfig, Target};
    use crate::control::Control;
    use crate::format::sampled::Provenance;
    use crate::sample::model::SampledModel;
    use crate::sample::stage::{BuildInputs, sample_part};
    use crate::test_support::{bytes_of, copy_clips, features, question, run, three_samples, tiny_model};

    /// Nine questions in shards of two.
    fn nine(audio: &Path) -> (QuestionSet, BuildConfig) {
        let clips = ["a.wav", "b.wav", "c.wav"].map(|name| audio.join(name));
        let questions = (0..9).map(|index| question(&format!("q{index}"), &clips[index % 3..=index % 3]));
        let set = QuestionSet { questions: questions.collect(), rejected: Vec::new() };
        (set, BuildConfig { shard_size: 2, batch_size: 1, ..three_samples() })
    }

    fn sample(
        lalm: &Lalm,
        set: &QuestionSet,
        config: &BuildConfig,
        seed: u64,
        part: &str,
        out: &Path,
    ) -> usize {
        let features = features();
        let answerer = Answerer::base(lalm, &features);
        let inputs = BuildInputs {
            model: SampledModel::Folder(&answerer),
            server: None,
            set: &PackedSet::from(set),
            config,
            seed,
            provenance: &Provenance::default(),
        };
        sample_part(&inputs, part.parse().unwrap(), out, &Control::silent()).unwrap().questions
    }

    #[test]
    fn merged_parts_are_byte_for_byte_the_dataset_of_one_build() {
        let root = tempfile::tempdir().unwrap();
        let (set, config) = nine(&copy_clips(root.path()));
        let lalm = tiny_model();
        let (whole, merged) = (root.path().join("whole"), root.path().join("merged"));
        run(&lalm, &set, &config, &whole).unwrap();
        let parts = ["2/3", "3/3", "1/3"].map(|part| (part, root.path().join(part.replace('/', "-of-"))));
        // Five shards of 2, 2, 2, 2 and 1 questions.
        let counts = parts.each_ref().map(|(part, out)| sample(&lalm, &set, &config, 7, part, out));
        assert_eq!(counts, [3, 2, 4]);
        let folders = parts.map(|(_, out)| out);
        assert!(folders.iter().all(|out| !out.join("samples.jsonl").exists()));
        SampledParts::find(&folders).unwrap().copy_into(&merged, &|_| ()).unwrap();
        run(&lalm, &set, &config, &merged).unwrap();
        assert!(bytes_of(&whole) == bytes_of(&merged), "the merged dataset differs");
    }

    #[test]
    fn parts_that_are_not_all_there_or_not_of_one_build_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let (set, config) = nine(&copy_clips(root.path()));
        let lalm = tiny_model();
        let [one, two, other] = ["one", "two", "other"].map(|name| root.path().join(name));
        assert!(matches!(SampledParts::find(&[]), Err(BuildError::NoShards { .. })));
        sample(&lalm, &set, &config, 7, "1/2", &one);
        let both = [one.clone(), two.clone()];
        assert!(matches!(SampledParts::find(&both), Err(BuildError::NoShards { dir }) if dir == two));
        let error = SampledParts::find(&both[..1]).unwrap_err();
        assert!(
            error.to_string().contains("2 of 5 shard files") && error.to_string().contains("00001.jsonl"),
            "{error}"
        );
        sample(&lalm, &set, &config, 8, "2/2", &other);
        let error = SampledParts::find(&[one.clone(), other]).unwrap_err();
        assert!(error.to_string().contains("`seed` was 8 and is 7 now"), "{error}");
        sample(&lalm, &set, &config, 7, "2/2", &two);
        // A damaged shard is not taken for a sound one.
        let path = two.join("shards/00003.jsonl");
        let bytes = idk_common::fs::read(&path).unwrap();
        idk_common::fs::write_atomic(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(SampledParts::find(&both).unwrap_err().to_string().contains("00003.jsonl"));
    }

    #[test]
    fn a_build_keeps_the_shards_that_are_there_and_labels_them_as_it_is_told() {
        let root = tempfile::tempdir().unwrap();
        let (set, config) = nine(&copy_clips(root.path()));
        let lalm = tiny_model();
        let (whole, stopped) = (root.path().join("whole"), root.path().join("stopped"));
        let relabelled = BuildConfig { k: 1, target: Target::Sampled, batch_size: 5, ..config.clone() };
        run(&lalm, &set, &relabelled, &whole).unwrap();
        sample(&lalm, &set, &relabelled, 7, "1/2", &stopped);
        // A sound shard of other samples shows that it is kept and not drawn again.
        let identity = partial_sampling(&stopped).unwrap().unwrap();
        let shards = Shards::at(&stopped, identity);
        let ShardState::Samples(bytes) = shards.read(2).unwrap() else { panic!("shard 2 is not there") };
        let text = String::from_utf8(bytes).unwrap();
        let mut rows: Vec<idk_questions::rows::SampleRow> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        rows[0].text = "kept".to_owned();
        shards.write(2, &rows).unwrap();
        let copy = root.path().join("copy");
        for (name, bytes) in bytes_of(&stopped) {
            idk_common::fs::write_atomic(&copy.join(name), &bytes).unwrap();
        }
        run(&lalm, &set, &relabelled, &copy).unwrap();
        let joined = idk_common::fs::read_to_string(&copy.join("samples.jsonl")).unwrap();
        assert_eq!(joined.matches(r#""text":"kept""#).count(), 1);
        // What labels read may change in between, what samples read may not; a damaged shard is drawn again.
        let error = run(&lalm, &set, &BuildConfig { top_k: 3, ..config.clone() }, &stopped).unwrap_err();
        assert!(error.to_string().contains("`build.top_k` was 0 and is 3 now"), "{error}");
        let path = stopped.join("shards/00002.jsonl");
        idk_common::fs::write_atomic(&path, b"{}\n").unwrap();
        run(&lalm, &set, &relabelled, &stopped).unwrap();
        assert!(bytes_of(&whole) == bytes_of(&stopped), "the resumed dataset differs");
        let other_k = root.path().join("other-k");
        sample(&lalm, &set, &relabelled, 7, "2/2", &other_k);
        run(&lalm, &set, &BuildConfig { k: 2, target: Target::Gold, ..relabelled }, &other_k).unwrap();
    }

    #[test]
    fn a_build_that_is_asked_to_stop_keeps_no_half_of_a_dataset() {
        let root = tempfile::tempdir().unwrap();
        let (set, config) = nine(&copy_clips(root.path()));
        let (lalm, out) = (tiny_model(), root.path().join("dataset"));
        let stop = std::sync::atomic::AtomicBool::new(true);
        let control = Control { stop: Some(&stop), ..Control::silent() };
        let features = features();
        let answerer = Answerer::base(&lalm, &features);
        let inputs = BuildInputs {
            model: SampledModel::Folder(&answerer),
            server: None,
            set: &PackedSet::from(&set),
            config: &config,
            seed: 7,
            provenance: &Provenance::default(),
        };
        let error = crate::build::build(&inputs, &out, &control).unwrap_err();
        assert!(matches!(error, BuildError::Stopped { sampled: None, total: 9 }), "{error:?}");
        assert!(!out.exists());
    }
}
