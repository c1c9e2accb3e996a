//! The file of a grid: `sweep/<kind>.json` of val and `sweep/<kind>-test.json` of the test set in the run folder, and
//! `transfer.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use idk_common::RunDir;
use idk_common::json::{read_json, write_json};
use serde::{Deserialize, Serialize};

use crate::compare::methods::{ALL, task_names};
use crate::compare::results::Results;
use crate::error::EvalError;
use crate::grid::cell::{GridCell, GridScore, GridValue};
use crate::grid::kind::{GridKind, GridSet};
use crate::grid::spread::Spread;
use crate::method::Method;

/// Version of the files. Version 1 had a format for sweeps and another for transfer.
const SCHEMA: u32 = 2;

/// Content of a grid's file. It holds no time and no path: the same experiment gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Version of the file.
    pub schema: u32,
    /// What was turned.
    pub kind: GridKind,
    /// The questions that were answered.
    pub set: GridSet,
    /// How many there are.
    pub questions: usize,
    /// Accuracy of the base model on each task and on [`ALL`], in percent.
    pub base_acc: BTreeMap<String, Option<f64>>,
    /// One for each value and seed: numbers in ascending order, names in the recipe's.
    pub cells: Vec<GridCell>,
    /// The value that was picked on val; `null` if none helps. In the file of the test set too, so that it can be marked.
    pub picked: Option<Picked>,
}

/// The value that a grid recommends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picked {
    /// The value; that of one of the cells.
    pub value: f64,
    /// By what rule.
    pub why: String,
}

impl Grid {
    /// A grid of `cells`, numbers brought into ascending order; nothing is picked yet.
    pub fn new(
        kind: GridKind,
        set: GridSet,
        questions: usize,
        base_acc: BTreeMap<String, Option<f64>>,
        mut cells: Vec<GridCell>,
    ) -> Self {
        let number = |cell: &GridCell| cell.value.number().unwrap_or(0.0);
        cells.sort_by(|one, other| number(one).total_cmp(&number(other)));
        Self { schema: SCHEMA, kind, set, questions, base_acc, cells, picked: None }
    }

    /// The grid of the evaluations of runs on the test set, each with its value and, if there are several, its seed.
    pub fn of_evaluations(kind: GridKind, runs: &[(GridValue, Option<u64>, Results)]) -> Self {
        let cell = |(value, seed, results): &(GridValue, Option<u64>, Results)| {
            let adapter = results.methods.iter().find(|result| result.method == Method::Adapter);
            let rows = adapter.map(|adapter| adapter.tasks.as_slice()).unwrap_or_default();
            let rows = rows.iter().map(|row| (row.task.as_str(), &row.comparison));
            GridCell::new(value.clone(), *seed, rows)
        };
        let first = runs.first().map(|(_, _, results)| results);
        let base = first.iter().flat_map(|results| &results.base);
        let base_acc = base.map(|row| (row.task.clone(), row.counts.acc().map(|share| 100.0 * share)));
        let questions = first.map_or(0, |results| results.n);
        Self::new(kind, GridSet::Test, questions, base_acc.collect(), runs.iter().map(cell).collect())
    }

    /// Every value once, in the order of the cells.
    pub fn values(&self) -> Vec<&GridValue> {
        let mut values: Vec<&GridValue> = Vec::new();
        for cell in &self.cells {
            if !values.contains(&&cell.value) {
                values.push(&cell.value);
            }
        }
        values
    }

    /// The tasks in the papers' order; [`ALL`] is none of them.
    pub fn tasks(&self) -> Vec<String> {
        let names: BTreeSet<&str> =
            self.cells.iter().flat_map(|cell| cell.tasks.keys().map(String::as_str)).collect();
        task_names(names.into_iter().filter(|name| *name != ALL))
    }

    /// The tasks and, last, [`ALL`] if the cells have it.
    pub(crate) fn tests(&self) -> Vec<String> {
        let all = self.cells.iter().any(|cell| cell.all().is_some()).then(|| ALL.to_owned());
        self.tasks().into_iter().chain(all).collect()
    }

    /// The seeds, where there are several.
    pub fn seeds(&self) -> BTreeSet<u64> {
        self.cells.iter().filter_map(|cell| cell.seed).collect()
    }

    /// All seeds of a value on a task.
    pub(crate) fn spread(&self, value: &GridValue, task: &str) -> Spread<'_> {
        let of_value = self.cells.iter().filter(|cell| cell.value == *value);
        Spread(of_value.filter_map(|cell| cell.tasks.get(task)).collect())
    }

    /// The results on all tasks at a number.
    pub fn at(&self, number: f64) -> Option<&GridScore> {
        self.cells.iter().find(|cell| cell.value.number() == Some(number))?.all()
    }

    /// The accuracy of the base model on a task or on [`ALL`], in percent.
    pub(crate) fn base_acc_of(&self, task: &str) -> Option<f64> {
        self.base_acc.get(task).copied().flatten()
    }

    pub(crate) fn is_picked(&self, value: &GridValue) -> bool {
        self.picked.as_ref().is_some_and(|picked| Some(picked.value) == value.number())
    }

    /// Reads the file of a grid.
    ///
    /// # Errors
    /// [`EvalError::Common`] if it cannot be read, [`EvalError::Grid`] if it is of another version.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let value: serde_json::Value = read_json(path)?;
        // `transfer.json` of version 1 called it `format`.
        let schema = value.get("schema").or_else(|| value.get("format")).and_then(serde_json::Value::as_u64);
        if schema != Some(u64::from(SCHEMA)) {
            let found = schema.map_or_else(|| "unknown".to_owned(), |schema| schema.to_string());
            let what = format!("its version is {found}, this program reads {SCHEMA}");
            return Err(EvalError::Grid { path: path.to_owned(), what });
        }
        Ok(read_json(path)?)
    }

    /// The grids of a run: each kind on val and on the test set, as far as their files exist.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_all(run_dir: &Path) -> Result<Vec<Self>, EvalError> {
        let sets = |kind| [GridSet::Val, GridSet::Test].map(|set| grid_file(run_dir, kind, set));
        let files = GridKind::ALL.into_iter().filter(|kind| *kind != GridKind::Transfer).flat_map(sets);
        files.filter(|path| path.is_file()).map(|path| Self::read(&path)).collect()
    }

    /// Writes the file of this grid into the folder of a run and returns its path.
    ///
    /// # Errors
    /// [`EvalError::Common`].
    pub fn write(&self, run_dir: &Path) -> Result<PathBuf, EvalError> {
        let path = grid_file(run_dir, self.kind, self.set);
        write_json(&path, self)?;
        Ok(path)
    }
}

/// The file of a grid in the folder of a run: `sweep/k.json`, `sweep/k-test.json`, `transfer.json`.
pub fn grid_file(run_dir: &Path, kind: GridKind, set: GridSet) -> PathBuf {
    let name = kind.name();
    match (kind, set) {
        (GridKind::Transfer, _) => run_dir.join(format!("{name}.json")),
        (_, GridSet::Val) => RunDir::new(run_dir).sweeps().join(format!("{name}.json")),
        (_, GridSet::Test) => RunDir::new(run_dir).sweeps().join(format!("{name}-test.json")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use idk_common::fs::write_atomic;
    use idk_questions::Verdict;
    use idk_questions::metrics::{Comparison, compare};
    use serde_json::{Value, json};

    use super::*;

    fn score(acc: f64, refusal_rate: f64, rgi: Option<f64>, interval: [f64; 2]) -> GridScore {
        GridScore {
            acc: Some(acc),
            tru: Some(65.0),
            rel: Some(62.0),
            refusal_rate: Some(refusal_rate),
            rgi,
            rgi_reason: rgi.is_none().then(|| "lost nothing".to_owned()),
            rgi_ci95: rgi.map(|rgi| [rgi + interval[0], rgi + interval[1]]),
            random_rgi: None,
        }
    }

    /// Four scales on one task, the RGI of one undefined; 0.5 picked.
    pub(crate) fn sweep(task: &str) -> Grid {
        let cell = |value: f64, rgi: Option<f64>| GridCell {
            value: value.into(),
            seed: None,
            tasks: [ALL, task]
                .map(|task| (task.to_owned(), score(60.0 - 10.0 * value, 20.0 * value, rgi, [-0.1, 0.1])))
                .into(),
        };
        let cells = vec![cell(0.25, Some(0.1)), cell(0.5, Some(0.3)), cell(1.0, None), cell(2.0, Some(-0.1))];
        let base_acc = BTreeMap::from([(ALL.to_owned(), Some(55.0))]);
        let mut grid = Grid::new(GridKind::AdapterScale, GridSet::Val, 600, base_acc, cells);
        grid.picked = Some(Picked { value: 0.5, why: "best".to_owned() });
        grid
    }

    /// Two training sets, two test sets, two seeds; `other` is the name of one of them.
    pub(crate) fn transfer(other: &str) -> Grid {
        let rgis = [
            ("sound", [[Some(0.2), Some(0.4)], [Some(0.1), None]]),
            (other, [[None, None], [Some(-0.5), Some(-0.5)]]),
        ];
        let mut cells = Vec::new();
        for (train, rows) in rgis {
            for seed in [0, 1] {
                let of = |row: usize| score(30.0, [40.0, 60.0][seed], rows[row][seed], [-0.3, 0.2]);
                let tasks = [("sound", of(0)), (other, of(1))].map(|(task, of)| (task.to_owned(), of));
                cells.push(GridCell { value: train.into(), seed: Some(seed as u64), tasks: tasks.into() });
            }
        }
        let base_acc = BTreeMap::from([("sound".to_owned(), Some(55.0))]);
        Grid::new(GridKind::Transfer, GridSet::Test, 9, base_acc, cells)
    }

    fn comparison(refused_wrong: usize, refused_right: usize) -> Comparison {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        let before = [vec![C; 5], vec![W; 5]].concat();
        let mut after = before.clone();
        after[..refused_right].fill(R);
        after[5..5 + refused_wrong].fill(R);
        compare(&before, &after, None, 0, 50).unwrap()
    }

    #[test]
    fn a_file_has_the_documented_keys_and_is_read_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (sound, all) = (comparison(3, 1), comparison(4, 0));
        let cell = |value: f64| GridCell::new(value.into(), None, [("sound", &sound), (ALL, &all)]);
        let base_acc = BTreeMap::from([(ALL.to_owned(), Some(50.0))]);
        let mut grid =
            Grid::new(GridKind::AdapterScale, GridSet::Val, 10, base_acc, vec![cell(1.0), cell(0.5)]);
        grid.picked = Some(Picked { value: 0.5, why: "best".to_owned() });
        let path = grid.write(dir.path()).unwrap();
        assert_eq!(path, dir.path().join("sweep/adapter_scale.json"));
        assert_eq!(Grid::read(&path).unwrap(), grid);
        let json: Value = read_json(&path).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(&json), "schema kind set questions base_acc cells picked");
        assert_eq!(
            (&json["kind"], &json["set"], &json["base_acc"]),
            (&json!("adapter_scale"), &json!("val"), &json!({"all": 50.0}))
        );
        let first = &json["cells"][0];
        assert_eq!((keys(first).as_str(), &first["value"]), ("value tasks", &json!(0.5)), "ascending");
        let all = &first["tasks"]["all"];
        assert_eq!(keys(all), "acc tru rel refusal_rate rgi rgi_reason rgi_ci95 random_rgi");
        // 10 questions, 5 right, 4 wrong ones refused, nothing lost: shares by hand.
        let expected = [("acc", 50.0), ("tru", 90.0), ("refusal_rate", 40.0)];
        assert!(expected.iter().all(|(key, value)| all[key] == json!(value)), "{all}");
        assert_eq!((&all["rgi"], &all["rgi_reason"]), (&Value::Null, &json!("lost nothing")));
        let sound = &first["tasks"]["sound"];
        assert_eq!((&sound["acc"], &sound["rgi"]), (&json!(40.0), &json!(3.0_f64.log10())));
    }

    #[test]
    fn names_keep_their_order_and_every_seed_has_a_cell() {
        let dir = tempfile::tempdir().unwrap();
        let grid = transfer("music");
        let path = grid.write(dir.path()).unwrap();
        assert_eq!(path, dir.path().join("transfer.json"));
        assert_eq!(Grid::read(&path).unwrap(), grid);
        assert_eq!(grid.values(), [&GridValue::from("sound"), &GridValue::from("music")]);
        assert_eq!((grid.tasks(), grid.seeds().len()), (vec!["sound".to_owned(), "music".to_owned()], 2));
        let json: Value = read_json(&path).unwrap();
        assert_eq!((&json["cells"][1]["value"], &json["cells"][1]["seed"]), (&json!("sound"), &json!(1)));
        let test = grid_file(Path::new("run"), GridKind::K, GridSet::Test);
        assert_eq!(test, Path::new("run/sweep/k-test.json"));
    }

    #[test]
    fn a_file_of_another_version_is_named_and_not_misread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.json");
        for old in [r#"{"schema": 1, "kind": "k", "points": []}"#, r#"{"format": 1, "cells": []}"#] {
            write_atomic(&path, old.as_bytes()).unwrap();
            let error = Grid::read(&path).unwrap_err().to_string();
            assert!(error.contains("old.json") && error.contains("version is 1"), "{error}");
        }
    }

    #[test]
    fn all_sweeps_of_a_run_are_found_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Grid::read_all(dir.path()).unwrap(), []);
        let val = sweep("sound");
        let test = Grid { set: GridSet::Test, ..val.clone() };
        test.write(dir.path()).unwrap();
        val.write(dir.path()).unwrap();
        assert_eq!(Grid::read_all(dir.path()).unwrap(), [val, test]);
        write_atomic(&grid_file(dir.path(), GridKind::K, GridSet::Val), b"{").unwrap();
        assert!(Grid::read_all(dir.path()).unwrap_err().to_string().contains("k.json"));
    }
}
