//! The rows of a run's files, one JSON object a line.

use idk_common::chat::Message;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::judge::Verdict;

/// One sampled answer (`samples.jsonl`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    /// The question.
    pub id: String,
    /// Which sample of it, from 0.
    pub sample: usize,
    /// The seed that it was drawn with.
    pub seed: u64,
    /// What the model said.
    pub text: String,
    /// What that is.
    pub verdict: Verdict,
    /// The option that it names, as an index into the options as they were shown.
    pub choice: Option<usize>,
    /// Log-probability of the text under the model at temperature 1, in nats. Missing from a server that gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_prob: Option<f64>,
    /// Tokens of the text, its end included if it came. Missing in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
}

/// Whether the base model knows the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// At least K of its N samples are right.
    Known,
    /// Fewer are.
    Unknown,
}

/// What the samples of one question add up to (`labels.jsonl`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelRow {
    /// The question.
    pub id: String,
    /// How many samples there are.
    pub n: usize,
    /// How many are right.
    pub correct: usize,
    /// How many refuse.
    pub refused: usize,
    /// How many are wrong.
    pub wrong: usize,
    /// The label.
    pub label: Label,
    /// The question's modality.
    #[serde(default)]
    pub task: String,
    /// The question's group.
    #[serde(default)]
    pub sub_category: String,
    /// The kind of a question without a right answer; not written if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswerable: Option<String>,
}

/// One row of the training set (`sft.jsonl`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SftRow {
    /// The question.
    pub id: String,
    /// The prompt, then the target as the last, `assistant` turn.
    pub messages: Vec<Message>,
    /// The clips, one for each `<audio>` of the messages in their order.
    pub audios: Vec<String>,
    /// Why the target is what it is.
    pub label: Label,
}

/// One stored answer (`answers-<method>.jsonl`). Only `id` and `text` are needed; scoring judges the text again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// The question. A number is read as its digits.
    #[serde(deserialize_with = "id_text")]
    pub id: String,
    /// What the model said; MMAU's scorer calls it `model_output`.
    #[serde(alias = "model_output", alias = "model_prediction")]
    pub text: String,
    /// What that was judged to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The option that it names, as an index into `choices`, or into the question's options where that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<usize>,
    /// The options in the order in which they were shown, where that is not the question's own. Letters refer to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<String>>,
    /// Log-probability of the text, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_prob: Option<f64>,
    /// Log-probability of each option as the answer, in nats, in the order in which the options were shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option_log_probs: Option<Vec<f64>>,
}

fn id_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(id) => Ok(id),
        Value::Number(id) => Ok(id.to_string()),
        other => Err(serde::de::Error::custom(format!("`id` must be a string or a number, not {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_needs_no_more_than_id_and_text() {
        let row: AnswerRow =
            serde_json::from_str(r#"{"id": 7, "text": "B", "note": "kept by others"}"#).unwrap();
        assert_eq!(row, AnswerRow { id: "7".to_owned(), text: "B".to_owned(), ..AnswerRow::default() });
        assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"id":"7","text":"B"}"#);
        let row: AnswerRow = serde_json::from_str(r#"{"id": "a", "model_output": "dog"}"#).unwrap();
        assert_eq!(row.text, "dog");
        assert!(serde_json::from_str::<AnswerRow>(r#"{"id": "a"}"#).is_err());
        assert!(serde_json::from_str::<AnswerRow>(r#"{"id": null, "text": "dog"}"#).is_err());
    }

    #[test]
    fn a_sample_of_an_earlier_version_is_one_whose_tokens_were_not_counted() {
        let earlier =
            r#"{"id":"q","sample":0,"seed":1,"text":"dog","verdict":"wrong","choice":null,"log_prob":-0.5}"#;
        let row: SampleRow = serde_json::from_str(earlier).unwrap();
        assert_eq!(row.tokens, None);
        assert_eq!(serde_json::to_string(&row).unwrap(), earlier);
    }

    #[test]
    fn a_training_row_has_the_keys_that_other_trainers_read() {
        let row = SftRow {
            id: "q".to_owned(),
            messages: vec![Message::user(2, "Which?"), Message::assistant("I don't know")],
            audios: vec!["a.wav".to_owned(), "b.wav".to_owned()],
            label: Label::Unknown,
        };
        let json = serde_json::to_string(&row).unwrap();
        let expected = concat!(
            r#"{"id":"q","messages":[{"role":"user","content":"<audio><audio>Which?"},"#,
            r#"{"role":"assistant","content":"I don't know"}],"audios":["a.wav","b.wav"],"label":"unknown"}"#
        );
        assert_eq!(json, expected);
    }
}
