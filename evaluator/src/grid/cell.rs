//! A cell of a grid: one value, one seed, and its results on every task.

use std::collections::BTreeMap;
use std::fmt;

use idk_questions::metrics::{Comparison, show_rgi};
use serde::{Deserialize, Serialize};

use crate::compare::methods::ALL;

/// A place on the axis of a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GridValue {
    /// A scale, a threshold, K.
    Number(f64),
    /// What an adapter was trained on.
    Name(String),
}

impl GridValue {
    /// The number; none for a name.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(_) => None,
        }
    }
}

impl From<f64> for GridValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for GridValue {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl fmt::Display for GridValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Results at one value, compared with the base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridCell {
    /// The value.
    pub value: GridValue,
    /// The seed of its training, where the experiment has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// On each task; [`ALL`] covers them all.
    pub tasks: BTreeMap<String, GridScore>,
}

/// Results of a cell on one task. Shares are in percent, as in `results.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridScore {
    /// Accuracy, in percent.
    pub acc: Option<f64>,
    /// Truthfulness, in percent.
    pub tru: Option<f64>,
    /// Reliability, in percent.
    pub rel: Option<f64>,
    /// Share of refused questions, in percent.
    pub refusal_rate: Option<f64>,
    /// RGI over the base model.
    pub rgi: Option<f64>,
    /// Why `rgi` is `null`.
    pub rgi_reason: Option<String>,
    /// The 95 % interval of RGI; `null` where none was drawn.
    pub rgi_ci95: Option<[f64; 2]>,
    /// RGI of refusing as many questions at random.
    pub random_rgi: Option<f64>,
}

impl GridCell {
    /// The cell of a comparison with the base model on every task.
    pub fn new<'a>(
        value: GridValue,
        seed: Option<u64>,
        rows: impl IntoIterator<Item = (&'a str, &'a Comparison)>,
    ) -> Self {
        let tasks = rows.into_iter().map(|(task, row)| (task.to_owned(), GridScore::from(row))).collect();
        Self { value, seed, tasks }
    }

    /// On all tasks together.
    pub fn all(&self) -> Option<&GridScore> {
        self.tasks.get(ALL)
    }
}

impl From<&Comparison> for GridScore {
    fn from(row: &Comparison) -> Self {
        Self {
            acc: row.acc.after,
            tru: row.tru.after,
            rel: row.rel.after,
            refusal_rate: row.refusal_rate.after,
            rgi: row.rgi,
            rgi_reason: row.rgi_reason.clone(),
            rgi_ci95: row.rgi_ci95,
            random_rgi: row.random_rgi,
        }
    }
}

impl GridScore {
    /// RGI with its interval, or the reason why there is none.
    pub(crate) fn rgi_text(&self) -> String {
        show_rgi(self.rgi, self.rgi_ci95, self.rgi_reason.as_deref())
    }
}
