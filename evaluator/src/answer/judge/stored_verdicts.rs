//! Verdicts that outlive the program: one file per judge, found again by what was judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::json::{read_jsonl, write_jsonl};
use idk_common::text::ellipsis;
use idk_questions::Verdict;
use serde::{Deserialize, Serialize};

use crate::answer::store::STORE_DIR;
use crate::error::EvalError;

/// Most of a judge's reply that is stored.
const MAX_REPLY_CHARS: usize = 200;

/// A verdict on one answer, with who gave it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct VerdictRow {
    /// SHA-256 of question, reference answers and answer.
    key: String,
    /// Name of the judge's model.
    judge: String,
    /// SHA-256 of the judge's model name, prompt and settings.
    judge_sha256: String,
    /// `None` for a reply that is none of the three.
    verdict: Option<Verdict>,
    reply: String,
}

/// The verdicts of one judge in an evaluation's folder.
pub(super) struct StoredVerdicts {
    path: PathBuf,
    judge: String,
    judge_sha256: String,
    rows: BTreeMap<String, VerdictRow>,
}

impl StoredVerdicts {
    /// Those of an earlier evaluation. A file that cannot be read, or that is of another judge, is replaced by the next save.
    pub(super) fn open(eval_dir: &Path, judge: &str, judge_sha256: &str) -> Self {
        let name = format!("judge-{}.jsonl", judge_sha256.get(..32).unwrap_or(judge_sha256));
        let path = eval_dir.join(STORE_DIR).join(name);
        let rows: Vec<VerdictRow> = read_jsonl(&path).unwrap_or_default();
        let rows = rows.into_iter().filter(|row| row.judge_sha256 == judge_sha256);
        let rows = rows.map(|row| (row.key.clone(), row)).collect();
        Self { path, judge: judge.to_owned(), judge_sha256: judge_sha256.to_owned(), rows }
    }

    /// The verdict on what has this key; `None` if it was not judged, `Some(None)` if the reply was unreadable.
    pub(super) fn find(&self, key: &str) -> Option<Option<Verdict>> {
        self.rows.get(key).map(|row| row.verdict)
    }

    pub(super) fn insert(&mut self, key: String, verdict: Option<Verdict>, reply: &str) {
        let row = VerdictRow {
            key: key.clone(),
            judge: self.judge.clone(),
            judge_sha256: self.judge_sha256.clone(),
            verdict,
            reply: ellipsis(reply, MAX_REPLY_CHARS),
        };
        self.rows.insert(key, row);
    }

    /// Writes them; the file is replaced whole.
    ///
    /// # Errors
    /// [`EvalError::Common`].
    pub(super) fn save(&self) -> Result<(), EvalError> {
        Ok(write_jsonl(&self.path, &self.rows.values().collect::<Vec<_>>())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_found_again_by_their_judge_alone_and_a_damaged_file_holds_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut verdicts = StoredVerdicts::open(dir.path(), "m", "aa");
        verdicts.insert("k".to_owned(), Some(Verdict::Wrong), "wrong");
        verdicts.insert("u".to_owned(), None, &"x".repeat(999));
        assert_eq!((verdicts.find("k"), verdicts.find("u")), (Some(Some(Verdict::Wrong)), Some(None)));
        verdicts.save().unwrap();
        let again = StoredVerdicts::open(dir.path(), "m", "aa");
        assert_eq!(
            (again.find("k"), again.find("u"), again.find("other")),
            (Some(Some(Verdict::Wrong)), Some(None), None)
        );
        let text = idk_common::fs::read_to_string(&again.path).unwrap();
        assert!(text.contains("\"judge\":\"m\"") && text.contains("\"judge_sha256\":\"aa\""), "{text}");
        assert!(text.len() < 900, "a long reply is cut");
        assert_eq!(StoredVerdicts::open(dir.path(), "m", "bb").find("k"), None);
        idk_common::fs::write_atomic(&again.path, b"{\"key\": ").unwrap();
        assert_eq!(StoredVerdicts::open(dir.path(), "m", "aa").find("k"), None);
    }
}
