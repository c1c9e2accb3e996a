//! Answers that outlive the program: one file for each batch that was answered, found again by what it was made from.
//!
//! The batch is the unit, not the question: in other company an answer's log-probabilities differ by rounding, and a
//! resumed evaluation must end with the bytes of one that was never stopped.

use std::path::{Path, PathBuf};

use idk_common::fs;
use idk_common::hash::sha256_hex;
use idk_questions::{AskedQuestion, Judgement};
use serde::{Deserialize, Serialize};

use crate::answer::ask::Item;
use crate::answer::record::{Answer, Step};
use crate::error::EvalError;

/// The hidden folder of stored answers in the evaluation's folder. Whoever removes it loses nothing but time.
pub const STORE_DIR: &str = ".answers";

/// The answers of one method or adapter.
pub(crate) struct Store {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct StoredRow {
    key: String,
    text: String,
    log_prob: Option<f64>,
    /// Missing in files of earlier versions.
    #[serde(default)]
    tokens: Option<usize>,
    option_log_probs: Vec<f64>,
    refusal_margin: Option<f64>,
    steps: Vec<Step>,
}

impl Store {
    /// The answers of whoever has the key `candidate` in an evaluation's folder; leftovers of killed writers go.
    ///
    /// # Errors
    /// [`EvalError::Common`].
    pub(crate) fn open(eval_dir: &Path, candidate: &str) -> Result<Self, EvalError> {
        let dir = eval_dir.join(STORE_DIR).join(candidate.get(..32).unwrap_or(candidate));
        if dir.is_dir() {
            fs::remove_temporaries(&dir)?;
        }
        Ok(Self { dir })
    }

    fn path(&self, keys: &[String]) -> PathBuf {
        let name = sha256_hex(keys.join("\n").as_bytes());
        self.dir.join(format!("{}.jsonl", name.get(..32).unwrap_or(&name)))
    }

    /// The answers to exactly these questions in this order, if they are there and undamaged.
    /// `judge` reads their texts.
    pub(crate) fn find(
        &self,
        keys: &[String],
        items: &[Item<'_>],
        judge: impl Fn(&AskedQuestion, &str) -> Judgement,
    ) -> Option<Vec<Answer>> {
        // Whatever is wrong with the file, the batch is answered again and the file replaced.
        let text = fs::read_to_string(&self.path(keys)).ok()?;
        let (sum, rows) = text.split_once('\n')?;
        if sum != sha256_hex(rows.as_bytes()) {
            return None;
        }
        let rows: Vec<StoredRow> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
        if rows.len() != keys.len() || rows.iter().zip(keys).any(|(row, key)| row.key != *key) {
            return None;
        }
        let answers = rows.into_iter().zip(items).map(|(row, (question, _))| Answer {
            id: question.id().to_owned(),
            judgement: judge(question, &row.text),
            text: row.text,
            log_prob: row.log_prob,
            tokens: row.tokens,
            option_log_probs: row.option_log_probs,
            refusal_margin: row.refusal_margin,
            steps: row.steps,
            by_model: None,
        });
        Some(answers.collect())
    }

    /// Stores the answers of a batch; the file appears whole or not at all.
    ///
    /// # Errors
    /// [`EvalError::Common`].
    pub(crate) fn keep(&self, keys: &[String], answers: &[Answer]) -> Result<(), EvalError> {
        let path = self.path(keys);
        let mut rows = String::new();
        for (key, answer) in keys.iter().zip(answers) {
            let row = StoredRow {
                key: key.clone(),
                text: answer.text.clone(),
                log_prob: answer.log_prob,
                tokens: answer.tokens,
                option_log_probs: answer.option_log_probs.clone(),
                refusal_margin: answer.refusal_margin,
                steps: answer.steps.clone(),
            };
            let row = serde_json::to_string(&row)
                .map_err(|source| idk_common::CommonError::Encode { path: path.clone(), source })?;
            rows.push_str(&row);
            rows.push('\n');
        }
        let text = format!("{}\n{rows}", sha256_hex(rows.as_bytes()));
        Ok(fs::write_atomic(&path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use idk_questions::Question;

    use super::*;

    fn question(id: &str) -> AskedQuestion {
        let question = Question {
            id: id.to_owned(),
            choices: ["dog", "cat"].map(str::to_owned).to_vec(),
            answer: "dog".to_owned(),
            ..Question::default()
        };
        AskedQuestion::new(question, None)
    }

    fn answer(id: &str, text: &str) -> Answer {
        Answer {
            id: id.to_owned(),
            text: text.to_owned(),
            judgement: question(id).judge(text),
            log_prob: Some(-1.0 / 3.0),
            tokens: Some(3),
            option_log_probs: vec![-0.1, f64::MIN_POSITIVE],
            refusal_margin: Some(-2.0 / 3.0),
            steps: vec![Step::new("reasoning", "a\nb\u{1b}")],
            by_model: None,
        }
    }

    #[test]
    fn a_batch_is_found_bit_for_bit_by_its_keys_in_their_order_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), "candidate").unwrap();
        let (a, b) = (question("a"), question("b"));
        let keys = ["ka", "kb"].map(str::to_owned);
        let answers = vec![answer("a", "dog"), answer("b", "no idea")];
        assert_eq!(store.find(&keys, &[(&a, &[]), (&b, &[])], AskedQuestion::judge), None);
        store.keep(&keys, &answers).unwrap();
        assert_eq!(store.find(&keys, &[(&a, &[]), (&b, &[])], AskedQuestion::judge), Some(answers));
        let other = ["kb", "ka"].map(str::to_owned);
        assert_eq!(store.find(&other, &[(&b, &[]), (&a, &[])], AskedQuestion::judge), None);
        assert_eq!(store.find(&keys[..1], &[(&a, &[])], AskedQuestion::judge), None);
        let elsewhere = Store::open(dir.path(), "another").unwrap();
        assert_eq!(elsewhere.find(&keys, &[(&a, &[]), (&b, &[])], AskedQuestion::judge), None);
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), "candidate").unwrap();
        let (question, keys) = (question("a"), ["ka".to_owned()]);
        store.keep(&keys, &[answer("a", "dog")]).unwrap();
        let path = store.path(&keys);
        let whole = fs::read_to_string(&path).unwrap();
        for damaged in [whole.replace("dog", "cat"), whole[..whole.len() / 2].to_owned(), String::new()] {
            fs::write_atomic(&path, damaged.as_bytes()).unwrap();
            assert_eq!(store.find(&keys, &[(&question, &[])], AskedQuestion::judge), None);
        }
        fs::write_atomic(&path, whole.as_bytes()).unwrap();
        assert!(store.find(&keys, &[(&question, &[])], AskedQuestion::judge).is_some());
    }
}
