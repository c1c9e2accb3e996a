//! Promises about calibrated refusal, kept against the tiny model of tests/fixtures.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod support;

use idk_common::Identity;
use idk_model::{Adapters, ForwardContext, Lalm, LoraConfig, Message, RunSettings};
use idk_trainer::testing::{
    StepGradients, Totals, TrainingBatch, adapter_gradients, answer_nll, calibrated_loss, calibrated_metrics,
};
use idk_trainer::{
    AdapterConfig, BestMetric, CalibratedConfig, Clip, MethodConfig, TrainConfig, TrainError, TrainReport,
    TrainRun, TrainingRow, Validation, train_adapters,
};
use serde_json::{Map, Value};
use support::{
    Setup, assert_same_gradients, assert_same_tree, clip, cpu, fixture, kill_after, lalm, lora,
    trained_adapters, tree,
};

const RATES: [f64; 4] = [0.0, 0.25, 0.7, 1.0];

fn rows(lalm: &Lalm, count: usize) -> Vec<TrainingRow> {
    let clips = ["a.wav", "b.wav", "c.wav"].map(|name| Clip::of_mel(clip(lalm, name), &lalm.mel));
    let row = |index: usize| {
        let question = ["what is heard", "how many", "is it loud and what is it then"][index / 3 % 3];
        TrainingRow {
            id: format!("row-{index}"),
            audio: vec![clips[index % 3].clone()],
            messages: vec![Message::from_tagged("user", &format!("<audio>{question}"))],
            answers: vec![["dog", "two cats", "a"][index % 3].to_owned(), "I don't know".to_owned()],
            error_rate: Some(RATES[index % 4]),
        }
    };
    (0..count).map(row).collect()
}

fn step(lalm: &Lalm, adapters: &Adapters, batches: &[TrainingBatch], rows: &[TrainingRow]) -> StepGradients {
    let config = CalibratedConfig::default();
    adapter_gradients(lalm, adapters, batches, &[], &|nll, batch, totals| {
        let rate = |id: &String| rows.iter().find(|row| row.id == *id).and_then(|row| row.error_rate);
        let rates: Vec<Option<f64>> = batch.ids.iter().map(rate).collect();
        calibrated_loss(&config, nll, batch, &rates, totals)
    })
    .unwrap()
}

fn assert_same_step(left: &StepGradients, right: &StepGradients, tolerance: f64) {
    assert!((left.loss - right.loss).abs() < tolerance, "{} {}", left.loss, right.loss);
    let metrics =
        |step: &StepGradients| calibrated_metrics(&step.sums, Totals { rows: 4, ..Totals::default() });
    assert_eq!(metrics(left).len(), 6);
    for ((name, a), (other, b)) in metrics(left).iter().zip(&metrics(right)) {
        assert!(name == other && (a - b).abs() < 1e-4, "{name}: {a} {b}");
    }
    assert_same_gradients(&left.gradients, &right.gradients, tolerance);
}

#[test]
fn the_gradient_agrees_with_finite_differences() {
    let lalm = lalm();
    let (adapters, rows) = (trained_adapters(&lalm), rows(&lalm, 4));
    let batches = [support::batch(&lalm, &rows)];
    let gradients = step(&lalm, &adapters, &batches, &rows);
    // Along the gradient itself, loss changes by |g|^2 h: one number that every element enters.
    let loss_at = |h: f64| {
        let mut moved = adapters.clone();
        moved.for_each_tensor(&mut |name, tensor| {
            let direction = gradients.gradients.by_name[name].clone().reshape(tensor.dims());
            *tensor = tensor.clone() + direction.mul_scalar(h);
        });
        step(&lalm, &moved, &batches, &rows).loss
    };
    let norm = gradients.gradients.norm().unwrap();
    let h = 1e-2 / norm;
    let slope = (loss_at(h) - loss_at(-h)) / (2.0 * h);
    assert!((slope / (norm * norm) - 1.0).abs() < 5e-3, "slope {slope}, squared norm {}", norm * norm);
}

#[test]
fn four_times_one_row_is_one_batch_of_four_and_padding_and_order_change_nothing() {
    let lalm = lalm();
    let (adapters, rows) = (trained_adapters(&lalm), rows(&lalm, 4));
    let one = step(&lalm, &adapters, &[support::batch(&lalm, &rows)], &rows);
    let four: Vec<TrainingBatch> = rows.chunks(1).map(|rows| support::batch(&lalm, rows)).collect();
    assert_same_step(&one, &step(&lalm, &adapters, &four, &rows), 1e-5);
    let mut padded = support::batch(&lalm, &rows);
    for (ids, mask) in padded.prompts.ids.iter_mut().zip(&mut padded.prompts.mask) {
        ids.splice(0..0, [lalm.tokenizer.pad_id(); 7]);
        mask.splice(0..0, [false; 7]);
    }
    let reversed: Vec<TrainingRow> = rows.iter().rev().cloned().collect();
    for other in [padded, support::batch(&lalm, &reversed)] {
        assert_same_step(&one, &step(&lalm, &adapters, &[other], &rows), 1e-5);
    }
}

#[test]
fn layers_that_run_again_in_the_backward_pass_give_the_same_gradients() {
    let (kept, settings) = (lalm(), RunSettings { gradient_checkpointing: true, ..RunSettings::PLAIN });
    let again = Lalm::load_with(&fixture(), &cpu(), settings).unwrap();
    let (adapters, rows) = (trained_adapters(&kept), rows(&kept, 3));
    let batches = [support::batch(&kept, &rows)];
    let (left, right) = (step(&kept, &adapters, &batches, &rows), step(&again, &adapters, &batches, &rows));
    assert!((left.loss - right.loss).abs() < 1e-5, "{} {}", left.loss, right.loss);
    assert_same_gradients(&left.gradients, &right.gradients, 1e-5);
}

#[test]
fn a_row_without_an_error_rate_keeps_the_own_answer_and_one_that_begins_as_the_refusal_has_no_loss() {
    let lalm = lalm();
    let (adapters, mut rows) = (trained_adapters(&lalm), rows(&lalm, 2));
    rows[0].error_rate = None;
    let of = |rows: &[TrainingRow]| step(&lalm, &adapters, &[support::batch(&lalm, rows)], rows);
    let alone = of(&rows[..1]);
    let metrics = calibrated_metrics(&alone.sums, Totals { rows: 1, ..Totals::default() });
    assert_eq!((metrics[0].1, metrics[2].1, metrics[3].1), (0.0, 0.0, 0.0), "{metrics:?}");
    assert!((alone.loss - metrics[1].1).abs() < 1e-5 && alone.loss > 0.1, "{metrics:?}");
    rows[1].answers[0] = "I don't think so".to_owned();
    let both = of(&rows);
    assert!((both.loss - alone.loss / 2.0).abs() < 1e-5, "{} {}", both.loss, alone.loss);
}

// ---- whole runs ----

fn short_config() -> TrainConfig {
    TrainConfig {
        epochs: 3,
        batch_size: 2,
        gradient_accumulation_steps: 2,
        learning_rate: 5e-3,
        weight_decay: 0.01,
        save_every: 1,
        save_total_limit: 0,
        eval_every: 2,
        metric_for_best: Some(BestMetric::Loss),
        ..TrainConfig::default()
    }
}

fn train_rows(
    lora: &LoraConfig,
    train: &TrainConfig,
    calibrated: &CalibratedConfig,
    rows: &[TrainingRow],
    validation: Validation<'_>,
    run: TrainRun<'_>,
) -> Result<(Adapters, TrainReport), TrainError> {
    let config = AdapterConfig { lora, train, method: MethodConfig::Calibrated(calibrated), grader: None };
    train_adapters(&lalm(), config, rows, validation, run)
}

fn train(
    setup: &Setup,
    resume: bool,
    lora: &LoraConfig,
    calibrated: &CalibratedConfig,
) -> Result<(Adapters, TrainReport), TrainError> {
    let mut all = rows(&lalm(), 9);
    all[2].answers[1] = "rain".to_owned();
    all[8].answers[1] = "rain".to_owned();
    let (training, val) = all.split_at(7);
    setup.with(resume, None, |run| {
        train_rows(lora, &short_config(), calibrated, training, Validation::of_rows(val), run)
    })
}

fn metrics(setup: &Setup) -> Vec<Map<String, Value>> {
    idk_trainer::read_metrics(&setup.run).unwrap()
}

#[test]
fn a_calibrated_run_killed_after_any_step_and_resumed_leaves_the_bytes_of_an_uninterrupted_one() {
    let (lora, config) = (LoraConfig { dropout: 0.2, ..lora() }, CalibratedConfig::default());
    let whole = Setup::new();
    let report = train(&whole, false, &lora, &config).unwrap().1;
    assert_eq!((report.steps, report.samples_seen), (6, 21));
    assert!(report.best.is_some());
    for step in 1..=6 {
        let cut = Setup::new();
        kill_after(step, &whole.run, &cut.run);
        assert_eq!(train(&cut, true, &lora, &config).unwrap().1.resumed_from, Some(step));
        assert_same_tree(&whole.run, &cut.run, &format!("killed after step {step}"));
    }
}

#[test]
fn training_separates_right_from_wrong_and_logs_terms_that_add_up_to_the_loss() {
    let lalm = lalm();
    let sure = |index: usize| Some(f64::from(u8::from(index.is_multiple_of(3))));
    let rows: Vec<TrainingRow> = rows(&lalm, 9)
        .into_iter()
        .enumerate()
        .map(|(index, row)| TrainingRow { error_rate: sure(index), ..row })
        .collect();
    let train = TrainConfig { epochs: 30, learning_rate: 1e-2, metric_for_best: None, ..short_config() };
    let config = CalibratedConfig { refusal_weight: 1.0, ..CalibratedConfig::default() };
    let setup = Setup::new();
    let (adapters, report) = setup
        .with(false, None, |run| {
            train_rows(&lora(), &train, &config, &rows, Validation::of_rows(&rows[..3]), run)
        })
        .unwrap();
    let [first, last] = [report.first_loss, report.last_loss].map(Option::unwrap);
    assert!(last < 0.5 * first, "{report:?}");
    let log = metrics(&setup);
    let number = |row: &Map<String, Value>, key: &str| row[key].as_f64().unwrap();
    for row in log.iter().filter(|row| row.contains_key("loss")) {
        let terms = ["loss/refusal", "loss/own", "loss/phrase"].map(|key| number(row, key));
        assert!((terms.iter().sum::<f64>() - number(row, "loss")).abs() < 1e-4, "{row:?}");
    }
    let eval = log.iter().rev().find(|row| row.contains_key("eval_loss")).unwrap();
    assert!((number(eval, "eval_error_rate") - 1.0 / 3.0).abs() < 1e-6, "{eval:?}");
    assert!(eval.contains_key("eval_probs/refusal") && eval.contains_key("eval_logps/own"));
    // Rows 0, 3, 6 are about another clip than the others.
    let context = ForwardContext { adapters: Some(&adapters), dropout_seed: None };
    let batch = support::batch(&lalm, &rows);
    let nll: Vec<f32> = answer_nll(&lalm, &context, &batch).unwrap().tokens.try_into_vec_as().unwrap();
    let start = |answer: usize| batch.answers[..answer].iter().map(Vec::len).sum::<usize>();
    let p: Vec<f32> = (9..18).map(|refusal| (-nll[start(refusal)]).exp()).collect();
    for (index, p) in p.iter().enumerate() {
        assert_eq!(*p > 0.5, index.is_multiple_of(3), "{p:?}");
    }
}

#[test]
fn several_refusals_are_refused_with_by_any_of_their_first_tokens() {
    let setup = Setup::new();
    train(&setup, false, &lora(), &CalibratedConfig::default()).unwrap();
    let found = metrics(&setup).iter().rev().find_map(|row| row.get("eval_probs/refusal")?.as_f64()).unwrap();
    let lalm = lalm();
    let mut rows = rows(&lalm, 9).split_off(7);
    let of_answers = |adapters: &Adapters, rows: &[TrainingRow]| {
        let context = ForwardContext { adapters: Some(adapters), dropout_seed: None };
        let batch = support::batch(&lalm, rows);
        let nll: Vec<f32> = answer_nll(&lalm, &context, &batch).unwrap().tokens.try_into_vec_as().unwrap();
        let mut starts = vec![0];
        starts.extend(batch.answers.iter().scan(0, |sum, answer| {
            *sum += answer.len();
            Some(*sum)
        }));
        starts.iter().take(batch.answers.len()).map(|&start| f64::from((-nll[start]).exp())).sum::<f64>()
    };
    // Both refusals as the answers of both rows: what is added up are the probabilities of first tokens.
    for row in &mut rows {
        row.answers = vec!["I don't know".to_owned(), "rain".to_owned()];
    }
    let last = Adapters::load(&setup.run.checkpoint(6), &lalm).unwrap();
    let expected = of_answers(&last, &rows) / 2.0;
    assert!((found - expected).abs() < 1e-6 * expected.max(1e-2), "{found} {expected}");
}

#[test]
fn a_calibrated_run_is_not_resumed_with_other_weights_or_rates_unless_they_are_allowed() {
    let setup = Setup::new();
    train(&setup, false, &lora(), &CalibratedConfig::default()).unwrap();
    let before = tree(&setup.run.root);
    let other = CalibratedConfig { refusal_weight: 0.4, ..CalibratedConfig::default() };
    let message = train(&setup, true, &lora(), &other).unwrap_err().to_string();
    assert!(message.contains("`calibrated.refusal_weight` was 0.2 and is 0.4 now"), "{message}");
    let mut all = rows(&lalm(), 9);
    all[0].error_rate = Some(0.1);
    let (training, val) = all.split_at(7);
    let config = CalibratedConfig::default();
    let again = setup.with(true, None, |run| {
        train_rows(&lora(), &short_config(), &config, training, Validation::of_rows(val), run)
    });
    assert!(again.unwrap_err().to_string().contains("rows"));
    assert_eq!(before, tree(&setup.run.root));
    assert_eq!(idk_trainer::on_resume("calibrated.own_weight"), Some(idk_common::identity::OnResume::Later));
    assert_ne!(config.identity(), Identity::default());
}

#[test]
fn a_row_that_cannot_be_learnt_from_is_named() {
    let lalm = lalm();
    let run = |rows: &[TrainingRow]| {
        let (setup, config) = (Setup::new(), CalibratedConfig::default());
        let train = TrainConfig { shuffle: false, ..TrainConfig::default() };
        let result = setup
            .with(false, None, |run| train_rows(&lora(), &train, &config, rows, Validation::none(), run));
        (result.map(|_| ()), setup.warnings.lock().unwrap().clone())
    };
    let mut bad = rows(&lalm, 3);
    bad[1].error_rate = Some(1.5);
    assert!(matches!(run(&bad).0, Err(TrainError::ErrorRate { id, .. }) if id == "row-1"));
    let mut bad = rows(&lalm, 3);
    bad[2].answers.pop();
    assert!(matches!(run(&bad).0, Err(TrainError::NotTwoAnswers { id, answers: 1 }) if id == "row-2"));

    let mut begins = rows(&lalm, 3);
    begins[0].answers[0] = "I don't think so".to_owned();
    let (result, warnings) = run(&begins);
    result.unwrap();
    assert!(warnings[0].contains("1 of 3 rows are left out of the loss"), "{warnings:?}");
    for row in &mut begins {
        row.answers[0] = "I don't think so".to_owned();
    }
    assert!(matches!(run(&begins).0, Err(TrainError::OwnBeginsAsRefusal { rows: 3 })));
}
