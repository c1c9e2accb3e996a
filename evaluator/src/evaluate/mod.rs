//! The whole evaluation: answer, store, compare, `report.html`, `results.json`.

mod candidates;
mod fit;

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::fs;
use idk_common::json::{write_json, write_jsonl};
use idk_common::progress::NewProgress;
use idk_questions::{Judgement, Question};

use crate::answer::answers_file::{clear_answers, write_answers};
use crate::answer::judge::OpenJudge;
use crate::answer::prepare::Prepared;
use crate::answer::prompts::Prompts;
use crate::answer::record::Answer;
use crate::answer::subject::{Evaluation, Subject};
use crate::compare::abstention::{AbstentionResults, abstention_results};
use crate::compare::answerable::Answerable;
use crate::compare::groups::{Grouping, count_groups};
use crate::compare::judge_agreement::{JudgeAgreement, JudgeResults};
use crate::compare::measures::Measured;
use crate::compare::methods::compare_method;
use crate::compare::pairs::pair_results;
use crate::compare::results::{FORMAT, REJECTED_FILE, Results, base_results, results_file};
use crate::compare::rules::{Rule, apply};
use crate::compare::yardsticks::RuleInputs;
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::{Candidate, Method};
use crate::report::html::{report_file, write_report};
use crate::report::run_files::RunFiles;

use self::candidates::{adapter_names, candidates, check_possible};
use self::fit::{BaseAnswers, fit_probe, fit_rule};

/// What a method answered; a rule, what it refused by.
struct MethodAnswers {
    answers: Vec<Answer>,
    rule: Option<Rule>,
    measured: Option<Measured>,
}

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
    let judge = OpenJudge::open(&config.judge, eval_dir)?;
    let candidates = candidates(config, &adapter_names(subject));
    check_possible(subject, config, &candidates)?;
    let names: Vec<&str> = candidates.iter().map(|who| who.name.as_str()).collect();
    // Results next to answers that are not theirs would mislead.
    fs::remove_if_exists(&results_file(eval_dir))?;
    fs::remove_if_exists(&report_file(eval_dir))?;
    fs::remove_if_exists(&eval_dir.join(REJECTED_FILE))?;
    clear_answers(eval_dir, &names)?;
    let run = Evaluation { subject, config, prompts: &prompts, judge: judge.as_ref(), eval_dir, progress };
    let base = run.answers(&Method::Base.into(), prepared)?;
    write_answers(eval_dir, &Method::Base.into(), prepared, &base, None)?;
    let is_probed = candidates.iter().any(|who| who.method == Method::Probe);
    let probe = match subject.probe.filter(|_| is_probed) {
        Some(labelled) => Some(fit_probe(&run, labelled)?),
        None => None,
    };
    let probe = probe.as_ref();
    let samples = subject.samples.map(|of| &of.test);
    let on_test = BaseAnswers { prepared, answers: &base, samples, probe };
    let mut said: BTreeMap<&str, MethodAnswers> = BTreeMap::new();
    for who in candidates.iter().filter(|who| !who.method.is_rule()) {
        let answers = run.answers(who, prepared)?;
        write_answers(eval_dir, who, prepared, &answers, None)?;
        let chosen = who.method == Method::ExplicitOption;
        let measured = chosen.then(|| Measured::of_margins(who.method, &answers));
        said.insert(&who.name, MethodAnswers { answers, rule: None, measured });
    }
    let val = match subject.val.filter(|_| candidates.iter().any(|who| who.method.is_measure())) {
        Some(val) => Some((val, run.answers(&Method::Base.into(), val)?)),
        None => None,
    };
    let on_val = val.as_ref().map(|(prepared, answers)| BaseAnswers {
        prepared,
        answers,
        samples: subject.samples.map(|of| &of.val),
        probe,
    });
    for who in candidates.iter().filter(|who| who.method.is_rule()) {
        let first = candidates.iter().find(|who| !who.method.is_rule());
        let like =
            first.and_then(|who| Some((who.name.as_str(), said.get(who.name.as_str())?.answers.as_slice())));
        let measured = match who.method.is_measure() {
            true => Some(on_test.measured(&run, who.method)?),
            false => None,
        };
        let rule = fit_rule(&run, who.method, prepared, on_val, like)?;
        let mut answers = apply(&rule, prepared, &base, measured.as_ref(), seed)?;
        if let Some(measured) = &measured {
            answers = measured.with_replies(answers);
        }
        let values = measured.as_ref().map(|measured| measured.values.as_slice());
        write_answers(eval_dir, who, prepared, &answers, values)?;
        said.insert(&who.name, MethodAnswers { answers, rule: Some(rule), measured });
    }
    let answerable = Answerable::of(prepared);
    let of_base = answerable.of_list(&base);
    let mut measures: BTreeMap<Method, Vec<f64>> = BTreeMap::new();
    for measured in said.values().filter_map(|of| of.measured.as_ref()).filter(|of| of.method.is_measure()) {
        measures.insert(measured.method, answerable.of_list(&measured.sureness()).into_owned());
    }
    if subject.samples.is_some() && !measures.contains_key(&Method::SelfConsistency) {
        let shares = on_test.measured(&run, Method::SelfConsistency)?.sureness();
        measures.insert(Method::SelfConsistency, answerable.of_list(&shares).into_owned());
    }
    let mut methods = Vec::new();
    let mut all: Vec<(&str, &[Answer])> = vec![(Method::Base.name(), &base)];
    for who in &candidates {
        let Some(MethodAnswers { answers, rule, measured }) = said.get(who.name.as_str()) else { continue };
        let sureness = measured.as_ref().map(Measured::sureness);
        let sureness = sureness.as_deref().map(|sureness| answerable.of_list(sureness));
        let rules = RuleInputs {
            known_share: Some(subject.known_share),
            measures: Some(&measures),
            sureness: sureness.as_deref(),
        };
        let answers_to = answerable.of_list(answers);
        let asked = &answerable.prepared;
        let mut result = compare_method(asked, &of_base, who, &answers_to, rules, config, seed)?;
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
        provenance: provenance(subject, &candidates, &prompts, judge.as_ref()),
        n: prepared.questions.len(),
        rejected: prepared.rejected.len(),
        cut_audio: prepared.cut_audio,
        open: match config.answer_by.is_from_list() {
            true => prepared.questions.iter().filter(|question| question.shown.is_open()).count(),
            false => 0,
        },
        judge: judge.as_ref().map(|judge| judge_results(judge, &candidates, &all)),
        unanswerable: unanswerable_results(prepared, &all, config, seed)?,
        base: base_results(&answerable.prepared, &of_base)?,
        base_sub_categories: count_groups(&answerable.prepared, &of_base, Grouping::SubCategory),
        base_difficulties: count_groups(&answerable.prepared, &of_base, Grouping::Difficulty),
        methods,
        pairs: pair_results(&answerable, &all)?,
    };
    write_jsonl(&eval_dir.join(REJECTED_FILE), &prepared.rejected)?;
    write_report(eval_dir, &results, prepared, &all, &RunFiles::read(subject.run_dir)?)?;
    write_json(&results_file(eval_dir), &results)?;
    Ok(results)
}

/// The questions without a right answer, if there are any; the first of `all` is the base model.
fn unanswerable_results(
    prepared: &Prepared,
    all: &[(&str, &[Answer])],
    config: &EvalConfig,
    seed: u64,
) -> Result<Option<AbstentionResults>, EvalError> {
    let questions: Vec<Question> =
        prepared.questions.iter().map(|question| question.original.clone()).collect();
    let replies: Vec<(&str, Vec<Judgement>)> = all
        .iter()
        .map(|(name, answers)| (*name, answers.iter().map(|answer| answer.judgement).collect()))
        .collect();
    Ok(abstention_results(&questions, &replies, seed, config.bootstrap_draws)?)
}

/// The judge, and how far it agrees with the exact rule about the answers of each that it was asked about.
fn judge_results(judge: &OpenJudge, candidates: &[Candidate], all: &[(&str, &[Answer])]) -> JudgeResults {
    let (model, sha256) = judge.identity();
    // Rules refuse some of the base model's answers and keep the others.
    let is_rule = |name: &str| candidates.iter().any(|who| who.name == name && who.method.is_rule());
    let asked = all.iter().filter(|(name, _)| !is_rule(name));
    let agreement = asked.map(|(name, answers)| JudgeAgreement::of(name, answers)).collect();
    JudgeResults { model: model.to_owned(), sha256: sha256.to_owned(), agreement }
}

/// What the caller gave, and the prompts that were used.
fn provenance(
    subject: &Subject<'_>,
    candidates: &[Candidate],
    prompts: &Prompts,
    judge: Option<&OpenJudge>,
) -> BTreeMap<String, String> {
    let mut provenance = subject.provenance.clone();
    for who in candidates {
        for (name, sha256) in prompts.hashes(who.method) {
            provenance.insert(format!("prompt_{name}_sha256"), sha256.to_owned());
        }
    }
    if let Some(judge) = judge {
        provenance.insert("prompt_judge_sha256".to_owned(), judge.prompt_sha256().to_owned());
    }
    provenance
}

#[cfg(test)]
mod tests;
