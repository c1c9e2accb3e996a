//! The tiny model with its adapter, and four questions, for unit tests.

use std::path::{Path, PathBuf};

use idk_common::progress::Progress;
use idk_model::{Adapters, Answerer, FeatureLimits, FeatureStore, Lalm, device};
use idk_questions::{PromptStyle, Question, QuestionSet};

use crate::answer::prepare::{Prepared, prepare};
use crate::answer::subject::NamedAdapter;
use crate::config::EvalConfig;
use crate::method::Method;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny")
}

pub(crate) fn questions() -> QuestionSet {
    let question = |(index, (task, clip)): (usize, (&str, &str))| Question {
        id: format!("q{index}"),
        audio: vec![fixture().join(clip)],
        question: "What is that sound?".to_owned(),
        choices: ["dog", "cat", "rain"].map(str::to_owned).to_vec(),
        answer: "dog".to_owned(),
        task: task.to_owned(),
        sub_category: "event".to_owned(),
        ..Question::default()
    };
    let rows = [("sound", "a.wav"), ("music", "b.wav"), ("sound", "c.wav"), ("speech", "b.wav")];
    QuestionSet { questions: rows.into_iter().enumerate().map(question).collect(), rejected: Vec::new() }
}

pub(crate) fn config() -> EvalConfig {
    EvalConfig {
        methods: vec![Method::Adapter, Method::IdkPrompt],
        max_new_tokens: 6,
        bootstrap_draws: 50,
        ..EvalConfig::default()
    }
}

pub(crate) fn features() -> FeatureStore {
    let limits = FeatureLimits { memory_bytes: 1 << 20, ..FeatureLimits::NONE };
    FeatureStore::new("", limits)
}

pub(crate) fn lalm() -> Lalm {
    Lalm::load(&fixture(), &device("cpu").unwrap()).unwrap()
}

pub(crate) fn named(name: &str, lalm: &Lalm) -> NamedAdapter {
    let adapters = Adapters::load(&fixture().join("lora_adapter"), lalm).unwrap();
    NamedAdapter { name: name.to_owned(), adapters, sha256: "a".to_owned() }
}

pub(crate) fn prepared(lalm: &Lalm, config: &EvalConfig) -> Prepared {
    let features = features();
    let backend = Answerer::base(lalm, &features).into();
    prepare(&backend, &questions(), config, PromptStyle::default(), &[], 7, |_, _| Progress::hidden())
        .unwrap()
}
