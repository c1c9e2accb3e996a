//! The IDK share for every K: how many questions would be unknown if K right answers were asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The share of unknown (IDK) questions of a group, for every K from 1 to N.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Questions in the group.
    pub n: usize,
    /// K -> share of the questions with fewer than K right answers. A K that the samples do not decide is not there.
    pub unknown: BTreeMap<usize, f64>,
}

impl Share {
    /// The curve over K as one character a K, from `▁` (0 %) to `█` (100 %).
    #[must_use]
    pub fn sparkline(&self) -> String {
        const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let level = |share: &f64| LEVELS[(share.clamp(0.0, 1.0) * 7.0).round() as usize];
        self.unknown.values().map(level).collect()
    }
}

/// The IDK share, for every K, of all questions that have a right answer, and of their groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IdkShares {
    /// All questions.
    pub overall: Share,
    /// By task (`sound`, `music`, `speech`).
    pub task: BTreeMap<String, Share>,
    /// By `task/sub-category`.
    pub sub_category: BTreeMap<String, Share>,
    /// By difficulty; the name is empty for questions without one.
    #[serde(default)]
    pub difficulty: BTreeMap<String, Share>,
}
