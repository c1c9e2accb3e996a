//! A sweep: one number turned through several values, and what becomes of accuracy, refusals and RGI. Stored as
//! `sweep/<kind>.json` in the run folder, of val, and as `sweep/<kind>-test.json`, of the test set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::RunDir;
use idk_common::json::{read_json, write_json};
use idk_questions::metrics::Comparison;
use serde::{Deserialize, Serialize};

use crate::compare::methods::ALL;
use crate::error::EvalError;

/// Version of the files.
const SCHEMA: u32 = 1;

/// What is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepKind {
    /// The factor before the adapter at inference; 1 as trained, 0 the base model.
    AdapterScale,
    /// The probability of the chosen option below which the base model's answer is refused.
    Threshold,
    /// K of K@N: how many of N samples must be right for a question to be known; an adapter is trained for each.
    K,
}

impl SweepKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AdapterScale, Self::Threshold, Self::K];

    /// The name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::AdapterScale => "adapter_scale",
            Self::Threshold => "threshold",
            Self::K => "k",
        }
    }
}

/// The questions that were answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SweepSet {
    /// What a value may be picked on.
    Val,
    /// What nothing is picked on.
    Test,
}

/// Content of a sweep file. It holds no time and no path: the same sweep gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Version of the file.
    pub schema: u32,
    /// What was turned.
    pub kind: SweepKind,
    /// Its name, for axes and tables.
    pub parameter: String,
    /// The questions that were answered.
    pub set: SweepSet,
    /// How many there are.
    pub questions: usize,
    /// The base model on the same questions.
    pub base: SweepBase,
    /// One for each value, in ascending order.
    pub points: Vec<SweepPoint>,
    /// The value that was picked on val; `null` if none helps. In the file of the test set too, so that it can be marked.
    pub picked: Option<Picked>,
}

/// The base model in a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepBase {
    /// Accuracy, in percent.
    pub acc: Option<f64>,
}

/// One value of the parameter, all tasks together. Shares are in percent, as in `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepPoint {
    /// The value.
    pub value: f64,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rgi_reason: Option<String>,
    /// Low end of the 95 % interval of RGI.
    pub rgi_low: Option<f64>,
    /// High end of it.
    pub rgi_high: Option<f64>,
    /// The same on each task.
    pub by_task: BTreeMap<String, TaskPoint>,
}

/// One value of the parameter on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskPoint {
    /// Accuracy, in percent.
    pub acc: Option<f64>,
    /// Share of refused questions, in percent.
    pub refusal_rate: Option<f64>,
    /// RGI over the base model.
    pub rgi: Option<f64>,
}

/// The value that a sweep recommends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picked {
    /// The value; one of the points.
    pub value: f64,
    /// By what rule.
    pub why: String,
}

impl SweepPoint {
    /// The 95 % interval of RGI.
    pub(crate) fn interval(&self) -> Option<[f64; 2]> {
        Some([self.rgi_low?, self.rgi_high?])
    }

    /// The point of a comparison with the base model on every task; the row named [`ALL`] covers them all.
    pub fn new<'a>(value: f64, rows: impl IntoIterator<Item = (&'a str, &'a Comparison)>) -> Self {
        let mut point = Self {
            value,
            acc: None,
            tru: None,
            rel: None,
            refusal_rate: None,
            rgi: None,
            rgi_reason: None,
            rgi_low: None,
            rgi_high: None,
            by_task: BTreeMap::new(),
        };
        for (task, row) in rows {
            let (acc, refusal_rate, rgi) = (row.acc.after, row.refusal_rate.after, row.rgi);
            if task != ALL {
                point.by_task.insert(task.to_owned(), TaskPoint { acc, refusal_rate, rgi });
                continue;
            }
            point = Self {
                acc,
                tru: row.tru.after,
                rel: row.rel.after,
                refusal_rate,
                rgi,
                rgi_reason: row.rgi_reason.clone(),
                rgi_low: row.rgi_ci95.map(|[low, _]| low),
                rgi_high: row.rgi_ci95.map(|[_, high]| high),
                ..point
            };
        }
        point
    }
}

impl Sweep {
    /// A sweep of `points`, which are brought into ascending order; nothing is picked yet.
    pub fn new(
        kind: SweepKind,
        set: SweepSet,
        questions: usize,
        base_acc: Option<f64>,
        mut points: Vec<SweepPoint>,
    ) -> Self {
        points.sort_by(|one, other| one.value.total_cmp(&other.value));
        Self {
            schema: SCHEMA,
            kind,
            parameter: kind.name().to_owned(),
            set,
            questions,
            base: SweepBase { acc: base_acc },
            points,
            picked: None,
        }
    }

    /// Reads a sweep file.
    ///
    /// # Errors
    /// [`EvalError::Common`] if it cannot be read, [`EvalError::Sweep`] if it is of another version.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let value: serde_json::Value = read_json(path)?;
        let schema = value.get("schema").and_then(serde_json::Value::as_u64);
        if schema != Some(u64::from(SCHEMA)) {
            let found = schema.map_or_else(|| "none".to_owned(), |schema| schema.to_string());
            let what = format!("its `schema` is {found}, this program reads {SCHEMA}");
            return Err(EvalError::Sweep { path: path.to_owned(), what });
        }
        Ok(read_json(path)?)
    }

    /// Writes the file of this sweep into the folder of a run and returns its path.
    ///
    /// # Errors
    /// [`EvalError::Common`].
    pub fn write(&self, run_dir: &Path) -> Result<PathBuf, EvalError> {
        let path = sweep_file(run_dir, self.kind, self.set);
        write_json(&path, self)?;
        Ok(path)
    }
}

/// The file of a sweep in a run folder: `sweep/k.json`, `sweep/k-test.json`.
pub fn sweep_file(run_dir: &Path, kind: SweepKind, set: SweepSet) -> PathBuf {
    let suffix = match set {
        SweepSet::Val => "",
        SweepSet::Test => "-test",
    };
    RunDir::new(run_dir).sweeps().join(format!("{}{suffix}.json", kind.name()))
}

#[cfg(test)]
mod tests {
    use idk_common::fs::{read_to_string, write_atomic};
    use idk_questions::Verdict;
    use idk_questions::metrics::compare;
    use serde_json::{Value, json};

    use super::*;

    fn comparison(refused_wrong: usize, refused_right: usize) -> Comparison {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        let before = [vec![C; 5], vec![W; 5]].concat();
        let mut after = before.clone();
        after[..refused_right].fill(R);
        after[5..5 + refused_wrong].fill(R);
        compare(&before, &after, None, 0, 50).unwrap()
    }

    fn sweep() -> Sweep {
        let (sound, all) = (comparison(3, 1), comparison(4, 0));
        let point = |value| SweepPoint::new(value, [("sound", &sound), (ALL, &all)]);
        Sweep::new(SweepKind::AdapterScale, SweepSet::Val, 10, Some(50.0), vec![point(1.0), point(0.5)])
    }

    #[test]
    fn a_file_has_the_documented_keys_and_is_read_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut sweep = sweep();
        sweep.picked = Some(Picked { value: 0.5, why: "best".to_owned() });
        let path = sweep.write(dir.path()).unwrap();
        assert_eq!(path, dir.path().join("sweep/adapter_scale.json"));
        assert_eq!(Sweep::read(&path).unwrap(), sweep);
        let json: Value = read_json(&path).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(&json), "schema kind parameter set questions base points picked");
        assert_eq!(
            (&json["kind"], &json["set"], &json["base"]["acc"]),
            (&json!("adapter_scale"), &json!("val"), &json!(50.0))
        );
        let first = &json["points"][0];
        assert_eq!(keys(first), "value acc tru rel refusal_rate rgi rgi_reason rgi_low rgi_high by_task");
        // 10 questions, 5 right, 4 wrong ones refused, nothing lost: shares by hand.
        let expected = [("value", 0.5), ("acc", 50.0), ("tru", 90.0), ("refusal_rate", 40.0)];
        assert!(expected.iter().all(|(key, value)| first[key] == json!(value)), "{first}");
        assert_eq!((&first["rgi"], &first["rgi_reason"]), (&Value::Null, &json!("lost nothing")));
        assert_eq!(
            first["by_task"]["sound"],
            json!({"acc": 40.0, "refusal_rate": 40.0, "rgi": 3.0_f64.log10()})
        );
    }

    #[test]
    fn points_ascend_and_the_test_set_has_a_file_of_its_own() {
        let values: Vec<f64> = sweep().points.iter().map(|point| point.value).collect();
        assert_eq!(values, [0.5, 1.0]);
        let path = sweep_file(Path::new("run"), SweepKind::K, SweepSet::Test);
        assert_eq!(path, Path::new("run/sweep/k-test.json"));
    }

    #[test]
    fn a_file_of_another_version_is_named_and_not_misread() {
        let dir = tempfile::tempdir().unwrap();
        let path = sweep().write(dir.path()).unwrap();
        let other = read_to_string(&path).unwrap().replace("\"schema\": 1", "\"schema\": 2");
        write_atomic(&path, other.as_bytes()).unwrap();
        let error = Sweep::read(&path).unwrap_err().to_string();
        assert!(error.contains("adapter_scale.json") && error.contains("`schema` is 2"), "{error}");
    }
}
