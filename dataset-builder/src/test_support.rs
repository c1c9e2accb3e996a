//! What several tests build from: a model of random weights, three clips, small questions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::fs;
use idk_model::{Answerer, FeatureLimits, FeatureStore, Lalm, device};
use idk_questions::{PackedSet, Question, QuestionSet};

use crate::build::build;
use crate::config::BuildConfig;
use crate::control::Control;
use crate::error::BuildError;
use crate::format::sampled::Provenance;
use crate::label::finish::BuildReport;
use crate::sample::model::SampledModel;
use crate::sample::stage::BuildInputs;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny")
}

/// A true Qwen2-Audio of random weights.
pub(crate) fn tiny_model() -> Lalm {
    Lalm::load(&fixture(), &device("cpu").unwrap()).unwrap()
}

/// The folder `root/audio` with the fixture's three clips.
pub(crate) fn copy_clips(root: &Path) -> PathBuf {
    let audio = root.join("audio");
    for name in ["a.wav", "b.wav", "c.wav"] {
        let bytes = fs::read(&fixture().join(name)).unwrap();
        fs::write_atomic(&audio.join(name), &bytes).unwrap();
    }
    audio
}

/// A question about a sound with three options.
pub(crate) fn question(id: &str, audio: &[PathBuf]) -> Question {
    Question {
        id: id.to_owned(),
        audio: audio.to_vec(),
        question: "What is that sound?".to_owned(),
        choices: ["dog", "cat", "rain"].map(str::to_owned).to_vec(),
        answer: "dog".to_owned(),
        task: "sound".to_owned(),
        sub_category: "event".to_owned(),
        ..Question::default()
    }
}

/// Two of three.
pub(crate) fn three_samples() -> BuildConfig {
    BuildConfig { n_samples: 3, k: 2, max_new_tokens: 6, ..BuildConfig::default() }
}

/// A store that keeps nothing.
pub(crate) fn features() -> FeatureStore {
    FeatureStore::new("", FeatureLimits::NONE)
}

/// Builds with seed 7.
pub(crate) fn run(
    lalm: &Lalm,
    set: &QuestionSet,
    config: &BuildConfig,
    out: &Path,
) -> Result<BuildReport, BuildError> {
    let features = features();
    let answerer = Answerer::base(lalm, &features);
    let inputs = BuildInputs {
        model: SampledModel::Folder(&answerer),
        server: None,
        set: &PackedSet::from(set),
        config,
        seed: 7,
        provenance: &Provenance::default(),
    };
    build(&inputs, out, &Control::silent())
}

/// Every file below a folder.
pub(crate) fn bytes_of(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = idk_common::paths::regular_files(dir).unwrap();
    files.into_iter().map(|(name, path)| (name, fs::read(&path).unwrap())).collect()
}
