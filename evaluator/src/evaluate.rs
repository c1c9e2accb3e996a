//! The whole evaluation: answer, store, compare, `report.html`, `results.json`.

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::fs;
use idk_common::json::{write_json, write_jsonl};
use idk_common::progress::NewProgress;
use idk_questions::Verdict;

use crate::answer::answers_file::{clear_answers, write_answers};
use crate::answer::prepare::Prepared;
use crate::answer::prompts::Prompts;
use crate::answer::record::Answer;
use crate::answer::self_consistency::self_consistency;
use crate::answer::subject::{Evaluation, NamedAdapter, Subject};
use crate::compare::groups::{Grouping, count_groups};
use crate::compare::methods::{Yardsticks, compare_method};
use crate::compare::pairs::pair_results;
use crate::compare::results::{FORMAT, REJECTED_FILE, Results, base_results, results_file};
use crate::compare::rules::{Rule, apply, fit_on_val, fit_self_consistency, group_rule};
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::{Candidate, Method};
use crate::report::html::{report_file, write_report};
use crate::report::run_files::RunFiles;

/// Answers the prepared questions with the base model and with every method of the recipe, compares them, and writes
/// `answers-<name>.jsonl`, `rejected.jsonl`, `report.html` and, last, `results.json` into `eval_dir`.
///
/// Answers that an earlier evaluation stored there are used again where everything that they depend on is the same.
///
/// # Errors
/// [`EvalError::Config`], [`EvalError::Template`], [`EvalError::Lacks`] before anything is changed;
/// [`EvalError::Model`], [`EvalError::Common`].
pub fn evaluate(
    subject: &Subject<'_>,
    prepared: &Prepared,
    config: &EvalConfig,
    seed: u64,
    eval_dir: &Path,
    progress: NewProgress,
) -> Result<Results, EvalError> {
    config.validate()?;
    let prompts = Prompts::load(&config.prompts)?;
    let candidates = candidates(config, subject.adapters);
    check_possible(subject, config, &candidates)?;
    let names: Vec<&str> = candidates.iter().map(|who| who.name.as_str()).collect();
    // Results next to answers that are not theirs would mislead.
    fs::remove_if_exists(&results_file(eval_dir))?;
    fs::remove_if_exists(&report_file(eval_dir))?;
    fs::remove_if_exists(&eval_dir.join(REJECTED_FILE))?;
    clear_answers(eval_dir, &names)?;
    let run = Evaluation { subject, config, prompts: &prompts, eval_dir, progress };
    let base = run.answers(&Method::Base.into(), prepared)?;
    write_answers(eval_dir, &Method::Base.into(), prepared, &base)?;
    let self_consistency = subject.samples.map(|samples| self_consistency(prepared, &base, &samples.test));
    let mut said: BTreeMap<&str, (Vec<Answer>, Option<Rule>)> = BTreeMap::new();
    for who in candidates.iter().filter(|who| !who.method.is_rule()) {
        let answers = run.answers(who, prepared)?;
        write_answers(eval_dir, who, prepared, &answers)?;
        said.insert(&who.name, (answers, None));
    }
    for who in candidates.iter().filter(|who| who.method.is_rule()) {
        let first = candidates.iter().find(|who| !who.method.is_rule());
        let like = first.and_then(|who| Some((who.name.as_str(), said.get(who.name.as_str())?.0.as_slice())));
        let rule = rule(&run, who.method, prepared, like)?;
        let answers = apply(&rule, prepared, &base, self_consistency.as_deref(), seed)?;
        write_answers(eval_dir, who, prepared, &answers)?;
        said.insert(&who.name, (answers, Some(rule)));
    }
    let mut methods = Vec::new();
    let mut all: Vec<(&str, &[Answer])> = vec![(Method::Base.name(), &base)];
    for who in &candidates {
        let Some((answers, rule)) = said.get(who.name.as_str()) else { continue };
        let rules = Yardsticks {
            known_share: Some(subject.known_share),
            self_consistency: self_consistency.as_deref(),
        };
        let mut result = compare_method(prepared, &base, who, answers, rules, config, seed)?;
        result.rule.clone_from(rule);
        methods.push(result);
        all.push((&who.name, answers));
    }
    let results = Results {
        format: FORMAT,
        program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
        seed,
        prompt: prepared.style,
        config: config.without_folders(),
        provenance: provenance(subject, &candidates, &prompts),
        n: prepared.questions.len(),
        rejected: prepared.rejected.len(),
        cut_audio: prepared.cut_audio,
        open: match config.answer_by.is_from_list() {
            true => prepared.questions.iter().filter(|question| question.shown.is_open()).count(),
            false => 0,
        },
        base: base_results(prepared, &base)?,
        base_sub_categories: count_groups(prepared, &base, Grouping::SubCategory),
        base_difficulties: count_groups(prepared, &base, Grouping::Difficulty),
        methods,
        pairs: pair_results(prepared, &all)?,
    };
    write_jsonl(&eval_dir.join(REJECTED_FILE), &prepared.rejected)?;
    write_report(eval_dir, &results, prepared, &all, &RunFiles::read(subject.run_dir)?)?;
    write_json(&results_file(eval_dir), &results)?;
    Ok(results)
}

/// What a rule refuses by. `like`: name and answers of the first method that runs a model.
fn rule(
    run: &Evaluation<'_>,
    method: Method,
    prepared: &Prepared,
    like: Option<(&str, &[Answer])>,
) -> Result<Rule, EvalError> {
    match (method, run.subject.val) {
        (Method::Threshold, Some(val)) => {
            fit_on_val(&run.answers(&Method::Base.into(), val)?, run.config.threshold_by)
        }
        (Method::SelfConsistency, Some(val)) => {
            let base = run.answers(&Method::Base.into(), val)?;
            let none = BTreeMap::new();
            let samples = run.subject.samples.map_or(&none, |samples| &samples.val);
            fit_self_consistency(&base, &self_consistency(val, &base, samples), run.config.threshold_by)
        }
        (Method::Group, _) => Ok(group_rule(prepared, run.subject.known_share, run.config.group_known_share)),
        _ => {
            let refused = |answers: &[Answer]| {
                answers.iter().filter(|answer| answer.judgement.verdict == Verdict::Refused).count()
            };
            let (refusals, like) = match (run.config.random_rate, like) {
                (Some(rate), _) => ((rate * prepared.questions.len() as f64).round() as usize, None),
                (None, Some((name, answers))) => (refused(answers), Some(name.to_owned())),
                (None, None) => (0, None),
            };
            Ok(Rule::Random { refusals, like })
        }
    }
}

/// The recipe's methods, each once, and every adapter where the recipe has `adapter`; the base is answered anyway.
fn candidates(config: &EvalConfig, adapters: &[NamedAdapter]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for &method in &config.methods {
        let of_method: Vec<Candidate> = match method {
            Method::Base => Vec::new(),
            Method::Adapter => {
                adapters.iter().map(|adapter| Candidate { name: adapter.name.clone(), method }).collect()
            }
            _ => vec![method.into()],
        };
        for who in of_method {
            if !candidates.contains(&who) {
                candidates.push(who);
            }
        }
    }
    candidates
}

/// What a rule works with must be there before an earlier evaluation is taken away.
fn check_possible(
    subject: &Subject<'_>,
    config: &EvalConfig,
    candidates: &[Candidate],
) -> Result<(), EvalError> {
    let lacks = |method: Method, what: &str, hint| {
        Err(EvalError::Lacks { method: method.name(), what: what.to_owned(), hint })
    };
    let has = |method: Method| candidates.iter().any(|who| who.method == method);
    if has(Method::Threshold) && subject.val.is_none() {
        return lacks(
            Method::Threshold,
            "is fitted on questions that were not given",
            "give `val` in [data]",
        );
    }
    if has(Method::SelfConsistency) && (subject.val.is_none() || subject.samples.is_none()) {
        let what = "is fitted on samples of questions that were not given";
        return lacks(Method::SelfConsistency, what, "give `val` in [data]");
    }
    if has(Method::Group) && subject.known_share.is_empty() {
        let hint = "evaluate a recipe whose dataset is built (`idk-build RECIPE`)";
        return lacks(Method::Group, "needs the labels of an IDK dataset", hint);
    }
    if has(Method::Random)
        && config.random_rate.is_none()
        && candidates.iter().all(|who| who.method.is_rule())
    {
        let hint = "give `random_rate` in [eval], or a method that runs a model";
        return lacks(Method::Random, "does not know how many questions to refuse", hint);
    }
    Ok(())
}

/// What the caller gave, and the prompts that were used.
fn provenance(
    subject: &Subject<'_>,
    candidates: &[Candidate],
    prompts: &Prompts,
) -> BTreeMap<String, String> {
    let mut provenance = subject.provenance.clone();
    for who in candidates {
        for (name, sha256) in prompts.hashes(who.method) {
            provenance.insert(format!("prompt_{name}_sha256"), sha256.to_owned());
        }
    }
    provenance
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use idk_common::progress::Progress;
    use idk_common::{fs, json::read_json, paths::regular_files};
    use idk_model::{Adapters, Answerer, FeatureLimits, FeatureStore, Lalm, device};
    use idk_questions::{PromptStyle, Question, QuestionSet};

    use super::*;
    use crate::answer::prepare::prepare;
    use crate::compare::results::RESULTS_FILE;
    use crate::report::html::REPORT_FILE;

    #[test]
    fn the_base_is_not_compared_with_itself_and_an_adapter_needs_one() {
        let lalm = lalm();
        let adapter = |name: &str| named(name, &lalm);
        let all = vec![Method::Base, Method::Adapter, Method::IdkPrompt, Method::Adapter];
        let config = EvalConfig { methods: all, ..EvalConfig::default() };
        let names = |adapters: &[NamedAdapter]| {
            candidates(&config, adapters).into_iter().map(|who| who.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[adapter("adapter"), adapter("k5")]), ["adapter", "k5", "idk-prompt"]);
        assert_eq!(names(&[]), ["idk-prompt"]);
    }

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny")
    }

    fn questions() -> QuestionSet {
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
        let answerer = Answerer::base(lalm, &features);
        prepare(&answerer, &questions(), config, PromptStyle::default(), &[], 7, |_, _| Progress::hidden())
            .unwrap()
    }

    fn try_run(
        lalm: &Lalm,
        adapters: &[NamedAdapter],
        known_share: &BTreeMap<String, f64>,
        config: &EvalConfig,
        eval_dir: &Path,
    ) -> Result<Results, EvalError> {
        let hidden: NewProgress = |_, _| Progress::hidden();
        let features = features();
        let answerer = Answerer::base(lalm, &features);
        let prepared = prepare(&answerer, &questions(), config, PromptStyle::default(), &[], 7, hidden)?;
        let subject = Subject {
            lalm,
            features: &features,
            model_sha256: "m",
            device: "cpu",
            adapters,
            known_share,
            run_dir: None,
            val: config.fits_on_val().then_some(&prepared),
            samples: None,
            provenance: &BTreeMap::new(),
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
            let answerer = Answerer::base(&lalm, &features);
            let prepared =
                prepare(&answerer, &questions(), &config, PromptStyle::default(), &[], 7, hidden).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let run = Evaluation {
                subject: &Subject {
                    lalm: &lalm,
                    features: &features,
                    model_sha256: "m",
                    device: "cpu",
                    adapters: &[],
                    known_share: &BTreeMap::new(),
                    run_dir: None,
                    val: None,
                    samples: None,
                    provenance: &BTreeMap::new(),
                },
                config: &config,
                prompts: &Prompts::load(&config.prompts).unwrap(),
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
        assert!(matches!(&results.methods[1].rule, Some(Rule::Threshold { fit, .. }) if fit.n == 4));
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
}
