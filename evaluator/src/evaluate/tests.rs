//! Whole evaluations of the tiny model.

use idk_common::progress::Progress;
use idk_common::{json::read_json, paths::regular_files};
use idk_model::{Answerer, Lalm, StatePosition};
use idk_questions::PromptStyle;

use super::*;
use crate::answer::prepare::prepare;
use crate::answer::subject::{LabelledQuestions, NamedAdapter};
use crate::backend::Backend;
use crate::compare::results::RESULTS_FILE;
use crate::config::ProbeConfig;
use crate::report::html::REPORT_FILE;
use crate::test_fixture::{config, features, lalm, named, questions};

fn try_run(
    lalm: &Lalm,
    adapters: &[NamedAdapter],
    known_share: &BTreeMap<String, f64>,
    config: &EvalConfig,
    eval_dir: &Path,
) -> Result<Results, EvalError> {
    let hidden: NewProgress = |_, _| Progress::hidden();
    let features = features();
    let backend = Backend::from(Answerer::base(lalm, &features));
    let prepared = prepare(&backend, &questions(), config, PromptStyle::default(), &[], 7, hidden)?;
    let subject = Subject {
        backend,
        model_sha256: "m",
        device: "cpu",
        adapters,
        served_adapters: &[],
        known_share,
        run_dir: None,
        val: config.fits_on_val().then_some(&prepared),
        samples: None,
        probe: None,
        provenance: &BTreeMap::new(),
        stop: None,
    };
    evaluate(&subject, &prepared, config, 7, eval_dir, hidden)
}

fn run(lalm: &Lalm, adapter: &NamedAdapter, config: &EvalConfig, eval_dir: &Path) -> Results {
    try_run(lalm, std::slice::from_ref(adapter), &BTreeMap::new(), config, eval_dir).unwrap()
}

fn bytes_of(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = regular_files(dir).unwrap();
    files.into_iter().map(|(name, path)| (name, fs::read(&path).unwrap())).collect()
}

#[test]
fn an_evaluation_gives_the_same_bytes_again_and_on_one_thread() {
    let root = tempfile::tempdir().unwrap();
    let lalm = lalm();
    let adapters = named("adapter", &lalm);
    let dir = |name: &str| root.path().join(name);
    let results = run(&lalm, &adapters, &config(), &dir("first"));
    run(&lalm, &adapters, &config(), &dir("again"));
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one_thread.install(|| run(&lalm, &adapters, &config(), &dir("one")));
    let first = bytes_of(&dir("first"));
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    let answers = ["answers-adapter.jsonl", "answers-base.jsonl", "answers-idk-prompt.jsonl"];
    assert_eq!(names, [&answers[..], &[REJECTED_FILE, REPORT_FILE, RESULTS_FILE]].concat());
    assert!(first == bytes_of(&dir("again")), "a second evaluation differs");
    assert!(first == bytes_of(&dir("one")), "an evaluation on one thread differs");
    assert_ne!(first[answers[0]], first[answers[1]], "the adapter changes the log-probabilities");
    assert_ne!(first[answers[2]], first[answers[1]], "the prompt changes the log-probabilities");
    assert_eq!(read_json::<Results>(&results_file(&dir("first"))).unwrap(), results);
    let tasks: Vec<&str> = results.base.iter().map(|row| row.task.as_str()).collect();
    assert_eq!(tasks, ["sound", "music", "speech", "all"]);
    assert_eq!((results.n, results.cut_audio, results.methods.len()), (4, 1, 2));
}

#[test]
fn a_probe_is_fitted_on_labelled_questions_and_gives_the_same_bytes_again() {
    let root = tempfile::tempdir().unwrap();
    let (lalm, features) = (lalm(), features());
    let hidden: NewProgress = |_, _| Progress::hidden();
    let config = EvalConfig { methods: vec![Method::Probe], ..config() };
    let set = prepare(
        &Answerer::base(&lalm, &features).into(),
        &questions(),
        &config,
        PromptStyle::default(),
        &[],
        7,
        hidden,
    );
    let prepared = set.unwrap();
    let labelled = |wrong_share: Vec<f64>| LabelledQuestions { prepared: prepared.clone(), wrong_share };
    let measured = |labelled: Option<&LabelledQuestions>, dir: &str, config: &EvalConfig| {
        let known_share = BTreeMap::new();
        let subject = Subject {
            backend: Answerer::base(&lalm, &features).into(),
            model_sha256: "m",
            device: "cpu",
            adapters: &[],
            served_adapters: &[],
            known_share: &known_share,
            run_dir: None,
            val: Some(&prepared),
            samples: None,
            probe: labelled,
            provenance: &BTreeMap::new(),
            stop: None,
        };
        evaluate(&subject, &prepared, config, 7, &root.path().join(dir), hidden)?;
        let answers = fs::read_to_string(&root.path().join(dir).join("answers-probe.jsonl"))?;
        let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["measure"].as_f64();
        Ok::<_, EvalError>(answers.lines().map(|line| value(line).unwrap()).collect::<Vec<f64>>())
    };
    // All four are asked alike but for what is heard: q0 and q2 are known, q1 and q3 are not.
    let shares = labelled(vec![0.0, 1.0, 0.2, 1.0]);
    let first = measured(Some(&shares), "first", &config).unwrap();
    assert!(first[1] > first[0] && first[1] > first[2], "{first:?}");
    assert_eq!(measured(Some(&shares), "again", &config).unwrap(), first);
    assert!(bytes_of(&root.path().join("first")) == bytes_of(&root.path().join("again")));
    let heard = ProbeConfig { positions: vec![StatePosition::AudioMean], ..ProbeConfig::default() };
    let heard = EvalConfig { probe: heard, ..config.clone() };
    let together = measured(Some(&shares), "heard", &heard).unwrap();
    assert!(together[1] > together[0] && together[1] > together[2] && together != first, "{together:?}");
    let alone = measured(Some(&shares), "alone", &EvalConfig { batch_size: 1, ..heard }).unwrap();
    assert!(together.iter().zip(&alone).all(|(one, other)| (one - other).abs() < 1e-4), "{alone:?}");
    let even = measured(Some(&labelled(vec![0.5; 4])), "even", &config).unwrap();
    assert!(even.iter().all(|value| (value - 0.5).abs() < 1e-6), "{even:?}");
    let error = measured(None, "none", &config).unwrap_err();
    assert!(matches!(error, EvalError::Lacks { method: "probe", .. }), "{error}");
    let deep = ProbeConfig { layers: vec![99], ..ProbeConfig::default() };
    let error = measured(Some(&shares), "deep", &EvalConfig { probe: deep, ..config.clone() }).unwrap_err();
    assert!(error.to_string().contains("there is no layer 99"), "{error}");
}

#[test]
fn what_an_earlier_evaluation_left_does_not_stand_beside_new_results() {
    let root = tempfile::tempdir().unwrap();
    let lalm = lalm();
    let adapters = named("adapter", &lalm);
    run(&lalm, &adapters, &config(), root.path());
    let fewer = EvalConfig { methods: vec![Method::IdkPrompt], ..config() };
    run(&lalm, &adapters, &fewer, root.path());
    let names: Vec<String> = bytes_of(root.path()).into_keys().collect();
    let others = [REJECTED_FILE, REPORT_FILE, RESULTS_FILE];
    assert_eq!(names, [&["answers-base.jsonl", "answers-idk-prompt.jsonl"], &others[..]].concat());
}

#[test]
fn an_answer_does_not_depend_on_the_batch_and_options_have_finite_log_probabilities() {
    let lalm = lalm();
    let answers = |batch_size: usize| {
        let config = EvalConfig { batch_size, ..config() };
        let hidden: NewProgress = |_, _| Progress::hidden();
        let features = features();
        let backend = Backend::from(Answerer::base(&lalm, &features));
        let prepared =
            prepare(&backend, &questions(), &config, PromptStyle::default(), &[], 7, hidden).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let run = Evaluation {
            subject: &Subject {
                backend,
                model_sha256: "m",
                device: "cpu",
                adapters: &[],
                served_adapters: &[],
                known_share: &BTreeMap::new(),
                run_dir: None,
                val: None,
                samples: None,
                probe: None,
                provenance: &BTreeMap::new(),
                stop: None,
            },
            config: &config,
            prompts: &Prompts::load(&config.prompts).unwrap(),
            judge: None,
            eval_dir: dir.path(),
            progress: hidden,
        };
        run.answers(&Method::Base.into(), &prepared).unwrap()
    };
    for (together, alone) in answers(128).iter().zip(answers(1)) {
        assert_eq!((&together.id, &together.text), (&alone.id, &alone.text));
        assert_eq!(together.option_log_probs.len(), 3);
        for (one, other) in together.option_log_probs.iter().zip(&alone.option_log_probs) {
            assert!(one.is_finite() && *one < 0.0 && (one - other).abs() < 1e-4, "{one} {other}");
        }
    }
}

/// The shards of stored answers, by path below the store.
fn shards(eval_dir: &Path) -> BTreeMap<String, Vec<u8>> {
    bytes_of(&eval_dir.join(crate::answer::store::STORE_DIR))
}

#[test]
fn stored_answers_are_used_again_and_others_never() {
    let root = tempfile::tempdir().unwrap();
    let lalm = lalm();
    let mut adapter = named("adapter", &lalm);
    let config = EvalConfig { methods: vec![Method::Adapter], batch_size: 2, ..config() };
    run(&lalm, &adapter, &config, root.path());
    let (whole, stored) = (bytes_of(root.path()), shards(root.path()));
    assert_eq!(
        stored.keys().filter(|name| name.ends_with(".jsonl")).count(),
        4,
        "two batches of base and adapter"
    );
    // Half of the batches are lost, as after a kill: the end is the same.
    for name in stored.keys().filter(|name| name.ends_with(".jsonl")).step_by(2) {
        std::fs::remove_file(root.path().join(crate::answer::store::STORE_DIR).join(name)).unwrap();
    }
    run(&lalm, &adapter, &config, root.path());
    assert!(whole == bytes_of(root.path()) && stored == shards(root.path()));
    // An answer in the store is believed: that is how its use is seen.
    for (name, bytes) in stored.iter().filter(|(name, _)| name.ends_with(".jsonl")) {
        let rows = String::from_utf8(bytes.clone()).unwrap().split_once('\n').unwrap().1.to_owned();
        let mut rows: Vec<serde_json::Value> =
            rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        rows.iter_mut().for_each(|row| row["text"] = "dog".into());
        let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let text = format!("{}\n{rows}", idk_common::hash::sha256_hex(rows.as_bytes()));
        let path = root.path().join(crate::answer::store::STORE_DIR).join(name);
        fs::write_atomic(&path, text.as_bytes()).unwrap();
    }
    let acc = |results: &Results| {
        let row = &results.methods[0].tasks.last().unwrap().comparison;
        (row.acc.before, row.acc.after)
    };
    assert_eq!(acc(&run(&lalm, &adapter, &config, root.path())), (Some(100.0), Some(100.0)));
    // Other weights, another scale and other decoding each answer again.
    adapter.sha256 = "b".to_owned();
    assert_ne!(acc(&run(&lalm, &adapter, &config, root.path())).1, Some(100.0));
    adapter.sha256 = "a".to_owned();
    adapter.adapters.modules.values_mut().for_each(|pair| pair.scale *= 2.0);
    assert_ne!(acc(&run(&lalm, &adapter, &config, root.path())).1, Some(100.0));
    let longer = EvalConfig { max_new_tokens: 7, ..config };
    assert_ne!(acc(&run(&lalm, &adapter, &longer, root.path())).0, Some(100.0));
}

#[test]
fn rules_are_methods_of_their_own_with_answers_and_what_they_refused_by() {
    let root = tempfile::tempdir().unwrap();
    let lalm = lalm();
    let methods = vec![Method::Random, Method::Threshold, Method::Group, Method::Mcot, Method::TaskAgent];
    let config = EvalConfig { methods, random_rate: Some(0.5), max_step_tokens: 8, ..config() };
    let known = BTreeMap::from([("sound/event".to_owned(), 0.1), ("music/event".to_owned(), 0.9)]);
    let results = try_run(&lalm, &[], &known, &config, root.path()).unwrap();
    let names: Vec<&str> = results.methods.iter().map(|method| method.name.as_str()).collect();
    assert_eq!(names, ["random", "threshold", "group", "mcot", "task-agent"]);
    let refused = |index: usize, task: &str| {
        let tasks = &results.methods[index].tasks;
        tasks.iter().find(|row| row.task == task).unwrap().comparison.refusal_rate.after
    };
    assert_eq!(
        (refused(0, "all"), refused(2, "sound"), refused(2, "music")),
        (Some(50.0), Some(100.0), Some(0.0))
    );
    assert!(matches!(&results.methods[1].rule, Some(Rule::Fitted { fit, .. }) if fit.n == 4));
    assert_eq!(results.methods[3].rule, None);
    assert_eq!(results.pairs.len(), 15 * 4, "six are fifteen pairs, on three tasks and all");
    for (name, steps) in [("mcot", 1), ("task-agent", 2)] {
        let path = crate::answer::answers_file::answers_file(root.path(), name);
        let rows: Vec<serde_json::Value> = idk_common::json::read_jsonl(&path).unwrap();
        assert!(rows.iter().all(|row| row["steps"].as_array().unwrap().len() == steps), "{name}");
    }
    assert_eq!(results.provenance.keys().filter(|key| key.starts_with("prompt_")).count(), 6);
    assert_eq!(results.base[3].risk_coverage.n, 4);
}

#[test]
fn a_rule_that_lacks_what_it_works_with_says_so_and_takes_nothing_away() {
    let root = tempfile::tempdir().unwrap();
    let lalm = lalm();
    run(&lalm, &named("adapter", &lalm), &config(), root.path());
    let before = bytes_of(root.path());
    for (method, part) in [(Method::Group, "labels"), (Method::Random, "how many")] {
        let config = EvalConfig { methods: vec![method], ..config() };
        let error = try_run(&lalm, &[], &BTreeMap::new(), &config, root.path()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(before == bytes_of(root.path()));
}
