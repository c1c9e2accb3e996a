//! Reads `questions.jsonl` and `samples.jsonl` in lockstep, one question with its samples in memory at a time.

use std::path::Path;

use idk_common::json::JsonlReader;
use idk_questions::rows::SampleRow;

use crate::error::BuildError;
use crate::format::files::{QUESTIONS_FILE, SAMPLES_FILE};
use crate::format::question_row::QuestionRow;

/// Both files of a dataset, open at the same question.
pub(crate) struct QuestionsWithSamples {
    questions: JsonlReader<QuestionRow>,
    samples: JsonlReader<SampleRow>,
    /// Read, but of a later question.
    ahead: Option<SampleRow>,
    n_samples: usize,
}

impl QuestionsWithSamples {
    /// Opens the two files in `dir`; no question may have more than `n_samples` samples.
    pub(crate) fn open(dir: &Path, n_samples: usize) -> Result<Self, BuildError> {
        let questions = JsonlReader::open(&dir.join(QUESTIONS_FILE))?;
        let mut samples = JsonlReader::open(&dir.join(SAMPLES_FILE))?;
        let ahead = samples.next_row()?;
        Ok(Self { questions, samples, ahead, n_samples })
    }

    /// The next question with its samples; `None` at the end of both files.
    ///
    /// # Errors
    /// [`BuildError::Common`] and [`BuildError::Dataset`] naming file and line.
    pub(crate) fn next_question(&mut self) -> Result<Option<(QuestionRow, Vec<SampleRow>)>, BuildError> {
        let Some(question) = self.questions.next_row()? else {
            return match &self.ahead {
                Some(row) => Err(self.wrong(&format!("`{}` is not the next question", row.id))),
                None => Ok(None),
            };
        };
        let mut rows: Vec<SampleRow> = Vec::with_capacity(self.n_samples);
        while let Some(row) = self.ahead.take_if(|row| row.id == question.id) {
            if rows.last().is_some_and(|last| last.sample >= row.sample) || row.sample >= self.n_samples {
                let what = format!("sample {} of `{}` is out of order or too many", row.sample, row.id);
                return Err(self.wrong(&what));
            }
            rows.push(row);
            self.ahead = self.samples.next_row()?;
        }
        if rows.is_empty() {
            return Err(self.wrong(&format!("no sample of the next question `{}`", question.id)));
        }
        Ok(Some((question, rows)))
    }

    fn wrong(&self, what: &str) -> BuildError {
        BuildError::Dataset {
            path: self.samples.path().to_owned(),
            what: format!("line {}: {what}", self.samples.line()),
        }
    }
}

#[cfg(test)]
mod tests {
    use idk_common::json::write_jsonl;
    use idk_questions::Verdict;

    use super::*;

    fn join(questions: &[&str], samples: &[(&str, usize)]) -> Result<Vec<usize>, String> {
        let dir = tempfile::tempdir().unwrap();
        let asked: Vec<QuestionRow> = questions
            .iter()
            .map(|id| QuestionRow { id: (*id).to_owned(), ..QuestionRow::default() })
            .collect();
        let rows: Vec<SampleRow> = samples
            .iter()
            .map(|(id, sample)| SampleRow {
                id: (*id).to_owned(),
                sample: *sample,
                seed: 0,
                text: String::new(),
                verdict: Verdict::Wrong,
                choice: None,
                log_prob: Some(0.0),
                tokens: None,
            })
            .collect();
        write_jsonl(&dir.path().join(QUESTIONS_FILE), &asked).unwrap();
        write_jsonl(&dir.path().join(SAMPLES_FILE), &rows).unwrap();
        let mut joined = QuestionsWithSamples::open(dir.path(), 3).unwrap();
        let mut counts = Vec::new();
        while let Some((_, rows)) = joined.next_question().map_err(|error| error.to_string())? {
            counts.push(rows.len());
        }
        Ok(counts)
    }

    #[test]
    fn questions_may_have_different_numbers_of_samples() {
        let samples = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("c", 2)];
        assert_eq!(join(&["a", "b", "c"], &samples), Ok(vec![3, 1, 2]));
        assert_eq!(join(&[], &[]), Ok(vec![]));
    }

    #[test]
    fn files_that_do_not_fit_name_the_line() {
        /// Questions, their samples, and what the error says.
        type Case = (&'static [&'static str], &'static [(&'static str, usize)], &'static str);
        let cases: [Case; 5] = [
            (&["a", "b"], &[("a", 0)], "no sample of the next question `b`"),
            (&["a"], &[("a", 0), ("b", 0)], "line 2: `b` is not the next question"),
            (&["a", "b"], &[("b", 0), ("a", 0)], "line 1: no sample of the next question `a`"),
            (&["a"], &[("a", 0), ("a", 0)], "line 2: sample 0 of `a`"),
            (&["a"], &[("a", 3)], "line 1: sample 3 of `a`"),
        ];
        for (questions, samples, expected) in cases {
            let error = join(questions, samples).unwrap_err();
            assert!(error.contains(expected) && error.contains(SAMPLES_FILE), "{error}");
        }
    }
}
