//! Metrics of answers that are already there: no model, no audio.

use std::collections::BTreeSet;
use std::path::Path;

use idk_questions::metrics::{Comparison, compare};
use idk_questions::rows::AnswerRow;
use idk_questions::score::judge_row;
use idk_questions::{Judgement, QuestionError, Rejection, Scorer, Verdict};

use crate::answer::columns::QuestionColumns;
use crate::answer::stored::visit_answers;
use crate::compare::abstention::{AbstentionResults, abstention_by_kind};
use crate::error::EvalError;

/// The comparison of two files of answers, and what was left out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The metrics of the questions that have a right answer.
    pub comparison: Comparison,
    /// The questions that have none; `None` if there are none. The answers are called `before` and `after`.
    pub unanswerable: Option<AbstentionResults>,
    /// Rows of the question file that cannot be used; answers to them are not counted.
    pub rejected: Vec<Rejection>,
    /// Ids in the file of answers before that are not among the usable questions.
    pub unused_before: Vec<String>,
    /// The same of the answers after.
    pub unused_after: Vec<String>,
}

/// Judges two files of answers by `scorer` and compares them. `docs/reference/answers.md` has their shapes.
///
/// Rows are judged as they are read. What stays in memory grows with the questions, not with the answers: some 200 bytes
/// per question.
///
/// The rows may be in any order. Every usable question needs exactly one answer in each file. Letters refer to the
/// options of the question file, or to the row's own `choices` where it has them. Verdicts in the rows are not used.
/// Questions about the same recordings form one cluster of the interval.
///
/// # Errors
/// [`EvalError::Questions`] for the question file, [`EvalError::Common`] for a file that cannot be read (with the
/// line), [`EvalError::AnswerRow`] for a row that cannot be used, [`EvalError::Answers`] for missing and double answers,
/// [`EvalError::NoQuestions`].
pub fn score_files(
    questions: &Path,
    before: &Path,
    after: &Path,
    scorer: Scorer,
    seed: u64,
    draws: usize,
) -> Result<Score, EvalError> {
    let set = QuestionColumns::read(questions)?;
    if set.len() == 0 {
        return Err(EvalError::NoQuestions { rejected: set.rejected.len() });
    }
    let was = judge_file(scorer, &set, before, "before")?;
    let is = judge_file(scorer, &set, after, "after")?;
    let clusters = set.clusters();
    let answerable = || (0..set.len()).filter(|&place| set.kind(place).is_none());
    let of_answerable =
        |file: &JudgedFile| answerable().map(|place| file.outcomes[place]).collect::<Vec<_>>();
    Ok(Score {
        comparison: compare(
            &of_answerable(&was),
            &of_answerable(&is),
            Some(&clusters.of_places(answerable())),
            seed,
            draws,
        )?,
        unanswerable: match answerable().count() == set.len() {
            true => None,
            false => {
                let kinds: Vec<Option<&str>> = (0..set.len()).map(|place| set.kind(place)).collect();
                let replies = [("before", was.judgements()), ("after", is.judgements())];
                abstention_by_kind(&kinds, &clusters, &replies, seed, draws)?
            }
        },
        rejected: set.rejected,
        unused_before: was.unused,
        unused_after: is.unused,
    })
}

/// What an answer is, without the option that it names.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    verdict: Verdict,
    unparsed: bool,
}

impl From<Judgement> for Outcome {
    fn from(Judgement { verdict, unparsed, .. }: Judgement) -> Self {
        Self { verdict, unparsed }
    }
}

impl From<Outcome> for Judgement {
    fn from(Outcome { verdict, unparsed }: Outcome) -> Self {
        Self { unparsed, ..verdict.into() }
    }
}

/// The answers of a file, judged.
struct JudgedFile {
    /// In the order of the questions.
    outcomes: Vec<Outcome>,
    /// Ids of answers to none of the questions, sorted.
    unused: Vec<String>,
}

impl JudgedFile {
    fn judgements(&self) -> Vec<Judgement> {
        self.outcomes.iter().map(|&outcome| outcome.into()).collect()
    }
}

/// Judges the answers of a file as they are read: none is kept.
fn judge_file(
    scorer: Scorer,
    set: &QuestionColumns,
    path: &Path,
    side: &str,
) -> Result<JudgedFile, EvalError> {
    let judge = |number: usize, row: AnswerRow| match set.place(&row.id, number - 1) {
        None => Err(row.id),
        Some(place) => Ok((place, judge_row(scorer, &set.question(place), &row, side).map(Outcome::from))),
    };
    let mut found: Vec<Option<Outcome>> = vec![None; set.len()];
    let (mut unused, mut twice) = (BTreeSet::new(), BTreeSet::new());
    // The first by the order of the questions.
    let mut other_options: Option<(usize, QuestionError)> = None;
    visit_answers(path, set, judge, |judged| match judged {
        Err(id) if unused.contains(&id) => drop(twice.insert(id)),
        Err(id) => drop(unused.insert(id)),
        Ok((place, outcome)) => {
            let outcome = outcome.unwrap_or_else(|error| {
                if other_options.as_ref().is_none_or(|(first, _)| place < *first) {
                    other_options = Some((place, error));
                }
                Judgement::UNPARSED.into()
            });
            if found[place].replace(outcome).is_some() {
                twice.insert(set.id(place).to_owned());
            }
        }
    })?;
    let wrong = |source| EvalError::Answers { path: path.to_owned(), source };
    if !twice.is_empty() {
        let (side, ids) = (side.to_owned(), twice.into_iter().collect());
        return Err(wrong(QuestionError::DuplicateAnswers { side, ids }));
    }
    let missing = || (0..set.len()).filter(|&place| found[place].is_none());
    if missing().next().is_some() {
        let (side, ids) = (side.to_owned(), missing().map(|place| set.id(place).to_owned()).collect());
        return Err(wrong(QuestionError::MissingAnswers { side, ids }));
    }
    match other_options {
        Some((_, error)) => Err(wrong(error)),
        None => Ok(JudgedFile {
            outcomes: found.into_iter().flatten().collect(),
            unused: unused.into_iter().collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use idk_common::diagnose::{Diagnose, ExitKind};
    use idk_common::fs::write_atomic;
    use serde_json::json;

    use super::*;

    /// The paper's row: sound of MMAU test-mini, Qwen2-Audio-7B-Instruct, IDK prompt.
    fn golden(dir: &Path) -> [PathBuf; 3] {
        let cells = [("cat", "(A) cat", 167), ("cat", "dog", 16), ("cat", "I don't know.", 20)];
        let wrong = [("dog", "A", 27), ("dog", "(B) dog", 63), ("dog", "I do not know", 40)];
        let (mut questions, mut before, mut after) = (Vec::new(), String::new(), String::new());
        for (was, is, count) in cells.into_iter().chain(wrong) {
            for _ in 0..count {
                let id = format!("q{}", questions.len());
                questions
                    .push(json!({"id": id, "audio_id": format!("./{id}.wav"), "question": "Which animal?",
                    "choices": ["cat", "dog"], "answer": "cat", "task": "sound"}));
                before += &format!("{}\n", json!({"id": id, "text": was}));
                // The other way round: rows are joined by id, not by place.
                after = format!("{}\n{after}", json!({"id": id, "text": is}));
            }
        }
        let files = ["q.json", "before.jsonl", "after.jsonl"].map(|name| dir.join(name));
        let contents = [serde_json::to_string(&questions).unwrap(), before, after];
        for (file, content) in files.iter().zip(contents) {
            write_atomic(file, content.as_bytes()).unwrap();
        }
        files
    }

    #[test]
    fn stored_answers_give_the_papers_row() {
        let dir = tempfile::tempdir().unwrap();
        let [questions, before, after] = golden(dir.path());
        let row = score_files(&questions, &before, &after, Scorer::Ours, 0, 200).unwrap().comparison;
        let moved = row.transition;
        assert_eq!((moved.cc, moved.cw, moved.cr, moved.wc, moved.ww, moved.wr), (167, 16, 20, 27, 63, 40));
        let printed =
            [row.acc.after, row.tru.after, row.rel.after, row.dcon, row.dhum, row.rgi, row.rgi_relative];
        let printed = printed.map(|value| format!("{:.2}", value.unwrap()));
        assert_eq!(printed, ["58.26", "76.28", "73.03", "10.81", "20.12", "0.27", "0.46"]);
    }

    #[test]
    fn questions_without_a_right_answer_are_scored_apart_and_change_none_of_the_papers_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let [questions, before, after] = golden(dir.path());
        let alone = score_files(&questions, &before, &after, Scorer::Ours, 0, 50).unwrap();
        assert!(alone.unanswerable.is_none());
        let mut rows: Vec<serde_json::Value> = idk_common::json::read_json(&questions).unwrap();
        let add = |path: &Path, id: &str, text: &str| {
            let rows = idk_common::fs::read_to_string(path).unwrap();
            write_atomic(path, format!("{rows}{}\n", json!({"id": id, "text": text})).as_bytes()).unwrap();
        };
        for (id, was, is) in [("u0", "cat", "I don't know"), ("u1", "dog", "dog")] {
            let row = json!({"id": id, "audio_id": format!("{id}.wav"), "question": "Which?", "choices": ["cat", "dog"],
                "answer": null, "kind": "absent"});
            rows.push(row);
            add(&before, id, was);
            add(&after, id, is);
        }
        write_atomic(&questions, serde_json::to_string(&rows).unwrap().as_bytes()).unwrap();
        let mixed = score_files(&questions, &before, &after, Scorer::Ours, 0, 50).unwrap();
        assert_eq!(mixed.comparison, alone.comparison);
        let replies = mixed.unanswerable.unwrap().replies;
        let abstained =
            replies.iter().map(|reply| (reply.name.as_str(), reply.metrics.correct_abstain.count));
        assert_eq!(abstained.collect::<Vec<_>>(), [("before", 0), ("after", 1)]);
        assert_eq!(replies[1].metrics.over_refusal.count, 60);
    }

    #[test]
    fn aqua_bench_has_an_accuracy_per_type_and_one_under_the_condition_that_the_clip_was_understood() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = "None of the above";
        let row = |id: usize, kind: &str, options: [&str; 2], answer: &str| {
            json!({"id": id, "type": kind, "question": "Which animal calls?", "answer": answer,
                "options": [options[0], options[1], refusal], "audio_filename": format!("{}.wav", id / 4)})
        };
        let rows: Vec<serde_json::Value> = (0..3)
            .flat_map(|clip| {
                [
                    row(4 * clip, "Solvable", ["frog", "cow"], "cow"),
                    row(4 * clip + 1, "AAD", ["frog", "dog"], refusal),
                    row(4 * clip + 2, "IASD", ["red", "blue"], refusal),
                    row(4 * clip + 3, "IAQD", ["drum", "horn"], refusal),
                ]
            })
            .collect();
        let files = ["q.json", "before.jsonl", "after.jsonl"].map(|name| dir.path().join(name));
        write_atomic(&files[0], json!(rows).to_string().as_bytes()).unwrap();
        // The first two clips are understood; the third is not, and all three of its other questions are refused.
        let after = [
            "cow",
            "frog",
            refusal,
            refusal,
            "cow",
            "(C)",
            "red",
            "none of the above",
            "frog",
            refusal,
            refusal,
            refusal,
        ];
        for (file, texts) in files[1..].iter().zip([["cow"; 12], after]) {
            let lines = texts.iter().enumerate();
            let lines: String = lines
                .map(|(id, text)| json!({"id": id.to_string(), "text": text}).to_string() + "\n")
                .collect();
            write_atomic(file, lines.as_bytes()).unwrap();
        }
        let found = score_files(&files[0], &files[1], &files[2], Scorer::Ours, 0, 20).unwrap();
        let reply = &found.unanswerable.unwrap().replies[1];
        let shares = |of: &std::collections::BTreeMap<String, idk_questions::metrics::Proportion>| {
            ["AAD", "IASD", "IAQD"].map(|kind| (of[kind].count, of[kind].of))
        };
        assert_eq!(shares(&reply.kinds), [(2, 3), (2, 3), (3, 3)]);
        assert_eq!(shares(&reply.conditional_kinds), [(1, 2), (1, 2), (2, 2)]);
        assert_eq!((reply.conditional.count, reply.conditional.of), (4, 6));
    }

    #[test]
    fn a_missing_a_double_and_a_broken_answer_are_bad_data_that_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let [questions, before, after] = golden(dir.path());
        let text = idk_common::fs::read_to_string(&after).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        for broken in [rest.to_owned(), format!("{text}{first}\n"), format!("{text}{{\"id\": 3")] {
            write_atomic(&after, broken.as_bytes()).unwrap();
            let error = score_files(&questions, &before, &after, Scorer::Ours, 0, 10).unwrap_err();
            assert_eq!(error.exit_kind(), ExitKind::BadData, "{error}");
            assert!(error.to_string().contains("after.jsonl"), "{error}");
        }
        let missing = score_files(&questions, &before, &dir.path().join("none.jsonl"), Scorer::Ours, 0, 10)
            .unwrap_err();
        assert_eq!(missing.exit_kind(), ExitKind::MissingInput, "{missing}");
    }

    #[test]
    fn questions_that_cannot_be_used_are_listed_and_their_answers_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        let [questions, before, after] = golden(dir.path());
        let text = idk_common::fs::read_to_string(&questions).unwrap();
        write_atomic(&questions, text.replacen(r#""answer":"cat""#, r#""answer":"cow""#, 1).as_bytes())
            .unwrap();
        let score = score_files(&questions, &before, &after, Scorer::Ours, 0, 10).unwrap();
        assert_eq!((score.comparison.n, score.rejected.len()), (332, 1));
        assert_eq!((score.unused_before, score.unused_after), (vec!["q0".to_owned()], vec!["q0".to_owned()]));
    }
}
