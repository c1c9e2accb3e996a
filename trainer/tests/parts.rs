//! Promises about training some parts of a model, kept against the tiny model of tests/fixtures.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use idk_model::{Lalm, LalmConfig, LalmTokenizer, Message, Role};
use idk_trainer::testing::{Parameters, full_gradients, sft_loss};
use idk_trainer::{Clip, TrainConfig, TrainError, TrainReport, TrainedModel, TrainingRow, train_full};
use safetensors::SafeTensors;
use support::{Setup, assert_same_tree, batch, clip, cpu, fixture, flat_gradient, lalm};

fn row(lalm: &Lalm, index: usize, hears: bool) -> TrainingRow {
    let file = ["a.wav", "b.wav", "c.wav"][index % 3];
    let clips = hears.then(|| Clip::of_mel(clip(lalm, file), &lalm.mel));
    let tag = if hears { "<audio>" } else { "" };
    TrainingRow {
        id: format!("row-{index}"),
        audio: clips.into_iter().collect(),
        messages: vec![Message::from_tagged("user", &format!("{tag}what is heard"))],
        answers: vec![["dog", "two cats", "rain"][index % 3].to_owned()],
        error_rate: None,
    }
}

fn rows(lalm: &Lalm, hears: bool) -> Vec<TrainingRow> {
    (0..6).map(|index| row(lalm, index, hears)).collect()
}

fn projector_only(lalm: &Lalm) -> TrainedModel {
    TrainedModel::parts(lalm.clone(), vec![Role::Projector])
}

/// The name and bytes of every tensor of a safetensors file.
fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
}

fn config() -> TrainConfig {
    TrainConfig {
        max_steps: Some(4),
        batch_size: 2,
        learning_rate: 1e-2,
        weight_decay: 0.05,
        save_every: 1,
        save_total_limit: 0,
        eval_every: 1,
        ..TrainConfig::default()
    }
}

fn train(setup: &Setup, model: TrainedModel, resume: bool, stop_at: u64) -> (Lalm, TrainReport) {
    let rows = rows(&model.lalm, true);
    let next = |step: u64| Ok(rows[step as usize % 4..][..3].to_vec());
    let stop = AtomicBool::new(false);
    let mut evaluate = |step: u64, _: &Lalm| {
        stop.store(step == stop_at, Ordering::Relaxed);
        Ok(BTreeMap::new())
    };
    setup
        .with(resume, Some(&stop), |run| train_full(model, &next, Some(&mut evaluate), &config(), run))
        .unwrap()
}

#[test]
fn the_gradient_of_a_trained_part_is_that_of_full_training_and_frozen_parts_have_none() {
    let lalm = lalm();
    let batches = [batch(&lalm, &rows(&lalm, true))];
    let whole = full_gradients(&TrainedModel::whole(lalm.clone()), &batches, &sft_loss).unwrap();
    let part = full_gradients(&projector_only(&lalm), &batches, &sft_loss).unwrap();
    assert_eq!(part.loss, whole.loss);
    let names: Vec<&String> = part.gradients.by_name.keys().collect();
    assert_eq!(names, ["multi_modal_projector.linear.bias", "multi_modal_projector.linear.weight"]);
    for name in names {
        let (part, whole) = (flat_gradient(&part.gradients, name), flat_gradient(&whole.gradients, name));
        assert!(whole.iter().any(|value| value.abs() > 1e-4), "{name}: the gradient must not vanish");
        for (part, whole) in part.iter().zip(&whole) {
            assert!((part - whole).abs() < 1e-6, "{name}: {part} {whole}");
        }
    }
}

#[test]
fn frozen_tensors_keep_their_bytes_and_only_trained_ones_change_and_have_optimiser_state() {
    let setup = Setup::new();
    let start = lalm();
    let before = Setup::new();
    start.save(&before.run.root, idk_model::SaveDtype::F32).unwrap();
    let before = tensors(&before.run.root.join("model.safetensors"));
    train(&setup, projector_only(&start), false, 0);

    let checkpoint = setup.run.checkpoint(4);
    let after = tensors(&checkpoint.join("model.safetensors"));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, bytes) in &before {
        let is_trained = Role::of(name) == Some(Role::Projector);
        assert_eq!(after[name] != *bytes, is_trained, "{name}");
    }
    let moments: BTreeSet<String> = tensors(&checkpoint.join("optimizer.safetensors")).into_keys().collect();
    assert!(moments.iter().any(|name| name.contains("multi_modal_projector.linear.weight")), "{moments:?}");
    assert!(
        moments.iter().all(|name| !name.contains("tower") && !name.contains("language_model")),
        "{moments:?}"
    );
}

#[test]
fn a_stopped_run_of_some_parts_resumes_to_the_bytes_of_an_uninterrupted_one() {
    let lalm = lalm();
    let (whole, cut) = (Setup::new(), Setup::new());
    let parts = || TrainedModel::parts(lalm.clone(), vec![Role::Projector, Role::Head]);
    train(&whole, parts(), false, 0);
    let (_, report) = train(&cut, parts(), false, 2);
    assert_eq!((report.steps, report.interrupted), (2, true));
    let (_, report) = train(&cut, parts(), true, 0);
    assert_eq!((report.resumed_from, report.interrupted), (Some(2), false));
    assert_same_tree(&whole.run, &cut.run, "parts");
}

#[test]
fn a_step_that_no_trained_part_takes_part_in_changes_nothing() {
    let lalm = lalm();
    let silent = rows(&lalm, false);
    let setup = Setup::new();
    let next = |_| Ok(silent[..2].to_vec());
    let config = TrainConfig { max_steps: Some(1), ..config() };
    let (after, report) =
        setup.with(false, None, |run| train_full(projector_only(&lalm), &next, None, &config, run)).unwrap();
    assert_eq!((report.steps, report.skipped_steps), (1, 0));
    let values = |model: Lalm| {
        let mut values = Vec::new();
        TrainedModel::whole(model)
            .for_each_tensor(&mut |_, slot| values.push(slot.to_data().try_to_vec::<f32>().unwrap()));
        values
    };
    assert!(values(after) == values(lalm));
}

#[test]
fn training_the_head_of_a_model_without_one_is_an_error_that_names_the_key() {
    let mut value: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture().join("config.json")).unwrap()).unwrap();
    value["tie_word_embeddings"] = true.into();
    value["text_config"]["tie_word_embeddings"] = true.into();
    let config = LalmConfig::from_value(Path::new("config.json"), &value).unwrap();
    let tokenizer = LalmTokenizer::from_dir(&fixture(), &config).unwrap();
    let tied = Lalm::init(config, tokenizer, *lalm().mel.config(), 0, &cpu()).unwrap();
    let setup = Setup::new();
    let model = TrainedModel::parts(tied, vec![Role::Head]);
    let next = |_| Ok(Vec::new());
    let error =
        setup.with(false, None, |run| train_full(model, &next, None, &self::config(), run)).unwrap_err();
    let TrainError::Config { problems } = &error else { unreachable!("{error}") };
    assert_eq!(problems[0].key, "model.trainable");
}
