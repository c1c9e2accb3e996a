//! `results.json`: everything that an evaluation found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::fs;
use idk_common::json::parse_json;
use idk_questions::metrics::{Counts, RiskCoverage};
use idk_questions::{Judgement, PromptStyle};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::compare::abstention::AbstentionResults;
use crate::compare::groups::GroupCounts;
use crate::compare::judge_agreement::JudgeResults;
use crate::compare::methods::{ALL, MethodResult, forced_choice, task_names};
use crate::compare::pairs::PairResult;
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::RENAMED_METHOD;

/// Name of the file of results in the evaluation's folder.
pub const RESULTS_FILE: &str = "results.json";
/// Name of the list of questions that could not be used.
pub const REJECTED_FILE: &str = "rejected.jsonl";

/// Version of `results.json`.
pub(crate) const FORMAT: u32 = 2;

/// The base model on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseResult {
    /// The task, or [`ALL`].
    pub task: String,
    /// How many answers are correct, wrong and refused.
    pub counts: Counts,
    /// How its errors fall with its option probabilities.
    pub risk_coverage: RiskCoverage,
}

/// Content of `results.json`. It holds no time and no absolute path: the same evaluation gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Version of the file.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// Seed of the order of options, of the bootstrap and of `random`.
    pub seed: u64,
    /// How question and options became a text.
    pub prompt: PromptStyle,
    /// `[eval]` with every default written out; files without their folders.
    pub config: EvalConfig,
    /// Names and hashes of model, adapters, questions and prompts.
    pub provenance: BTreeMap<String, String>,
    /// Questions that were answered, with a right answer or without.
    pub n: usize,
    /// Questions that could not be used; listed in `rejected.jsonl`.
    pub rejected: usize,
    /// Recordings of which only the beginning was heard.
    pub cut_audio: usize,
    /// Questions without options that were answered by text, though `answer_by` takes answers from a list; not written if 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub open: usize,
    /// The model that judged answers to open questions; not written if the exact rule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeResults>,
    /// Questions without a right answer, which the other results leave out; not written if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswerable: Option<AbstentionResults>,
    /// The base model on every task.
    pub base: Vec<BaseResult>,
    /// The base model on every sub-category, `task/sub-category`.
    pub base_sub_categories: Vec<GroupCounts>,
    /// The base model on every difficulty.
    pub base_difficulties: Vec<GroupCounts>,
    /// Every method, compared with the base model.
    pub methods: Vec<MethodResult>,
    /// Every two of them, the base model included, compared.
    pub pairs: Vec<PairResult>,
}

impl Results {
    /// What a reader must know about the questions besides the numbers: whole sentences.
    pub(crate) fn notes(&self) -> Vec<String> {
        let counted = [
            (self.rejected, "questions could not be used; see rejected.jsonl."),
            (self.cut_audio, "recordings are longer than the model's window; it heard their beginning."),
            (self.open, "questions have no options; they were answered by text."),
        ];
        let counted = counted.iter().filter(|(count, _)| *count > 0);
        let counted = counted.map(|(count, what)| format!("{count} {what}"));
        counted.chain(self.judge.as_ref().map(JudgeResults::sentence)).collect()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The file of results in the evaluation's folder.
pub fn results_file(eval_dir: &Path) -> PathBuf {
    eval_dir.join(RESULTS_FILE)
}

/// Reads the results in the evaluation's folder.
///
/// # Errors
/// [`EvalError::EarlierResults`] for those of an earlier version; [`EvalError::Common`] if the file cannot be read.
pub(crate) fn read_results(eval_dir: &Path) -> Result<Results, EvalError> {
    let path = results_file(eval_dir);
    let text = fs::read_to_string(&path)?;
    parse_json(&path, &text).map_err(|error| match of_earlier_version(&text) {
        Some(what) => EvalError::EarlierResults { path, what },
        None => error.into(),
    })
}

/// How the results in `text` show that an earlier version wrote them, if they do.
fn of_earlier_version(text: &str) -> Option<String> {
    let (then, now) = RENAMED_METHOD;
    // As the name of a method, of its rule, and of the column of every task.
    if text.contains(&format!("\"{then}\"")) {
        return Some(format!("the method `{then}` is now `{now}`"));
    }
    let results: Value = serde_json::from_str(text).ok()?;
    let format = results["format"].as_u64().filter(|&format| format < u64::from(FORMAT))?;
    Some(format!("its format is {format}, now {FORMAT}"))
}

/// The base model on every task and on all.
///
/// # Errors
/// [`EvalError::Questions`] (never for answers to the prepared questions).
pub(crate) fn base_results(prepared: &Prepared, base: &[Answer]) -> Result<Vec<BaseResult>, EvalError> {
    let questions = &prepared.questions;
    let mut names = task_names(questions.iter().map(|question| question.original.task.as_str()));
    names.push(ALL.to_owned());
    let result = |task: String| {
        let of_task =
            questions.iter().zip(base).filter(|(question, _)| task == ALL || question.original.task == task);
        let (shown, answers): (Vec<_>, Vec<&Answer>) =
            of_task.map(|(question, answer)| (&question.shown, answer)).unzip();
        let judgements: Vec<Judgement> = answers.iter().map(|answer| answer.judgement).collect();
        let risk_coverage = forced_choice(answers.into_iter().zip(shown))?;
        Ok(BaseResult { task, counts: Counts::of(&judgements), risk_coverage })
    };
    names.into_iter().map(result).collect()
}

#[cfg(test)]
mod tests {
    use idk_common::diagnose::Diagnose;
    use idk_common::fs::write_atomic;
    use idk_common::json::write_json;

    use super::*;
    use crate::report::table::tests::golden_results;

    /// What is said of `results` with `change`.
    fn problem(change: impl FnOnce(&mut Value)) -> EvalError {
        let dir = tempfile::tempdir().unwrap();
        let mut results = serde_json::to_value(golden_results("sound")).unwrap();
        change(&mut results);
        write_json(&results_file(dir.path()), &results).unwrap();
        read_results(dir.path()).unwrap_err()
    }

    #[test]
    fn results_with_the_earlier_name_of_a_method_are_rejected_with_the_new_one() {
        let (then, now) = RENAMED_METHOD;
        let methods = |results: &mut Value| results["config"]["methods"] = vec!["adapter", then].into();
        let rule = |results: &mut Value| results["methods"][0]["rule"] = serde_json::json!({ "rule": then });
        for error in [problem(methods), problem(rule)] {
            assert!(error.to_string().contains(&format!("`{then}` is now `{now}`")), "{error}");
            assert!(error.hint().unwrap().contains("idk-eval RECIPE"), "{error}");
            assert_eq!(error.exit_kind().code(), 65);
        }
    }

    #[test]
    fn results_of_an_earlier_format_say_which_and_damaged_ones_where() {
        let earlier = |results: &mut Value| {
            results["format"] = 1.into();
            results["accuracy"] = 1.into();
        };
        assert!(problem(earlier).to_string().contains("its format is 1, now 2"));
        let unknown = |results: &mut Value| results["accuracy"] = 1.into();
        assert!(problem(unknown).to_string().contains("line "), "an unknown key is named with its line");
        let dir = tempfile::tempdir().unwrap();
        write_atomic(&results_file(dir.path()), b"{").unwrap();
        assert!(matches!(read_results(dir.path()).unwrap_err(), EvalError::Common(_)));
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let results = golden_results("sound");
        write_json(&results_file(dir.path()), &results).unwrap();
        assert_eq!(read_results(dir.path()).unwrap(), results);
    }
}
