//! `transfer.json`: adapters that were trained on some tasks, each on every task of the test set.

use std::collections::BTreeMap;

use idk_questions::metrics::{Comparison, show_with};
use serde::{Deserialize, Serialize};

use crate::compare::results::Results;
use crate::method::Method;

/// Name of the file of results in the experiment's folder.
pub const TRANSFER_FILE: &str = "transfer.json";

/// One adapter on one task of the test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferCell {
    /// What the adapter was trained on.
    pub train: String,
    /// What it was tested on: a task, or [`crate::ALL`].
    pub test: String,
    /// One value a seed, in their order; `null` where RGI is undefined.
    pub rgi: Vec<Option<f64>>,
    /// The 95 % interval over questions of each seed.
    pub rgi_ci95: Vec<Option<[f64; 2]>>,
    /// Refused, in percent, of each seed.
    pub refusal_rate: Vec<Option<f64>>,
    /// Accuracy in percent, of each seed.
    pub acc: Vec<Option<f64>>,
    /// RGI of refusing as many questions at random, of each seed.
    pub random_rgi: Vec<Option<f64>>,
    /// Mean of the defined values of `rgi`.
    pub rgi_mean: Option<f64>,
    /// Sample standard deviation of the defined values of `rgi`; two at least.
    pub rgi_std: Option<f64>,
}

/// Content of `transfer.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Version of the file.
    pub format: u32,
    /// The seeds, in the order of every cell's lists.
    pub seeds: Vec<u64>,
    /// Accuracy of the base model on each task, in percent.
    pub base_acc: BTreeMap<String, Option<f64>>,
    /// Row by row.
    pub cells: Vec<TransferCell>,
}

impl Transfer {
    /// The experiment from its evaluations: for every training set those of its seeds.
    pub fn collect(rows: &[(String, Vec<Results>)], seeds: &[u64]) -> Self {
        let mut base_acc = BTreeMap::new();
        let mut cells = Vec::new();
        for (train, of_seeds) in rows {
            let Some(first) = of_seeds.first() else { continue };
            for base in &first.base {
                base_acc.insert(base.task.clone(), base.counts.acc().map(|share| 100.0 * share));
            }
            cells.extend(first.base.iter().map(|base| cell(train, &base.task, of_seeds)));
        }
        Self { format: 1, seeds: seeds.to_vec(), base_acc, cells }
    }

    /// What was trained on, in the order of the cells.
    pub fn trains(&self) -> Vec<&str> {
        firsts(self.cells.iter().map(|cell| cell.train.as_str()))
    }

    /// What was tested on, in the order of the cells.
    pub fn tests(&self) -> Vec<&str> {
        firsts(self.cells.iter().map(|cell| cell.test.as_str()))
    }

    /// The cell of a training set and a test set.
    pub fn cell(&self, train: &str, test: &str) -> Option<&TransferCell> {
        self.cells.iter().find(|cell| cell.train == train && cell.test == test)
    }

    /// How the seeds are summed up, in words.
    pub(crate) fn of_seeds(&self) -> String {
        match self.seeds.len() {
            1 => "one seed".to_owned(),
            seeds => format!("mean ± standard deviation of {seeds} seeds"),
        }
    }

    /// The train x test matrix in Markdown: RGI, and the refusal rate below it.
    pub fn matrix(&self) -> String {
        let tests = self.tests();
        let mut text = format!(
            "RGI ({}) and share refused; rows: trained on, columns: tested on\n\n| |",
            self.of_seeds()
        );
        for test in &tests {
            text.push_str(&format!(" {test} |"));
        }
        text.push_str(&format!("\n|---|{}\n", "---:|".repeat(tests.len())));
        for train in self.trains() {
            text.push_str(&format!("| {train} |"));
            for test in &tests {
                text.push_str(&format!(" {} |", show_with(self.cell(train, test), TransferCell::text)));
            }
            text.push('\n');
        }
        text.push_str("| base Acc |");
        for test in &tests {
            let acc = self.base_acc.get(*test).copied().flatten();
            text.push_str(&format!(" {} |", show_with(acc, |acc| format!("{acc:.1} %"))));
        }
        text
    }
}

/// Every name once, where it comes first.
fn firsts<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut firsts = Vec::new();
    for name in names {
        if !firsts.contains(&name) {
            firsts.push(name);
        }
    }
    firsts
}

fn cell(train: &str, test: &str, of_seeds: &[Results]) -> TransferCell {
    let found: Vec<_> = of_seeds.iter().map(|results| adapter_row(results, test)).collect();
    let values = |value: &dyn Fn(&Comparison) -> Option<f64>| -> Vec<Option<f64>> {
        found.iter().map(|row| row.and_then(value)).collect()
    };
    let rgi = values(&|row| row.rgi);
    let (rgi_mean, rgi_std) = mean_and_std(&rgi);
    TransferCell {
        train: train.to_owned(),
        test: test.to_owned(),
        rgi_ci95: found.iter().map(|row| row.and_then(|row| row.rgi_ci95)).collect(),
        refusal_rate: values(&|row| row.refusal_rate.after),
        acc: values(&|row| row.acc.after),
        random_rgi: values(&|row| row.random_rgi),
        rgi,
        rgi_mean,
        rgi_std,
    }
}

fn adapter_row<'a>(results: &'a Results, task: &str) -> Option<&'a Comparison> {
    let adapter = results.methods.iter().find(|result| result.method == Method::Adapter)?;
    Some(&adapter.tasks.iter().find(|row| row.task == task)?.comparison)
}

/// Mean and sample standard deviation of what is defined.
pub(crate) fn mean_and_std(values: &[Option<f64>]) -> (Option<f64>, Option<f64>) {
    let defined: Vec<f64> = values.iter().flatten().copied().collect();
    if defined.is_empty() {
        return (None, None);
    }
    let n = defined.len() as f64;
    let mean = defined.iter().sum::<f64>() / n;
    let squares = defined.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (Some(mean), (defined.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

impl TransferCell {
    /// RGI and refusal rate in a few words.
    pub(crate) fn text(&self) -> String {
        let refused = mean_and_std(&self.refusal_rate).0;
        let refused = show_with(refused, |rate| format!("{rate:.0} %"));
        format!("{}, {refused}", self.rgi_text())
    }

    /// Mean and spread of RGI, and for how many seeds it is undefined.
    pub(crate) fn rgi_text(&self) -> String {
        let undefined = self.rgi.iter().filter(|value| value.is_none()).count();
        let rgi = match (self.rgi_mean, self.rgi_std) {
            (Some(mean), Some(std)) => format!("{mean:+.2} ± {std:.2}"),
            (Some(mean), None) => format!("{mean:+.2}"),
            (None, _) => "undefined".to_owned(),
        };
        let some_undefined = undefined > 0 && self.rgi_mean.is_some();
        if some_undefined { format!("{rgi} ({undefined} undefined)") } else { rgi }
    }

    /// From the lowest to the highest end of the seeds' intervals over questions.
    pub(crate) fn hull(&self) -> Option<[f64; 2]> {
        let ends = self.rgi_ci95.iter().flatten().copied();
        ends.reduce(|hull, next| [hull[0].min(next[0]), hull[1].max(next[1])])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two training sets, two test sets, two seeds; `other` is the name of one of them.
    pub(crate) fn transfer(other: &str) -> Transfer {
        let cell = |train: &str, test: &str, rgi: [Option<f64>; 2]| {
            let (rgi_mean, rgi_std) = mean_and_std(&rgi);
            TransferCell {
                train: train.to_owned(),
                test: test.to_owned(),
                rgi_ci95: rgi.map(|rgi| rgi.map(|rgi| [rgi - 0.3, rgi + 0.2])).to_vec(),
                rgi: rgi.to_vec(),
                refusal_rate: vec![Some(40.0), Some(60.0)],
                acc: vec![Some(30.0); 2],
                random_rgi: vec![None; 2],
                rgi_mean,
                rgi_std,
            }
        };
        Transfer {
            format: 1,
            seeds: vec![0, 1],
            base_acc: BTreeMap::from([("sound".to_owned(), Some(55.0))]),
            cells: vec![
                cell("sound", "sound", [Some(0.2), Some(0.4)]),
                cell("sound", other, [Some(0.1), None]),
                cell(other, "sound", [None, None]),
                cell(other, other, [Some(-0.5), Some(-0.5)]),
            ],
        }
    }

    #[test]
    fn mean_and_spread_are_those_of_the_defined_values() {
        let (mean, std) = mean_and_std(&[Some(0.1), None, Some(0.3), Some(0.5)]);
        assert!((mean.unwrap() - 0.3).abs() < 1e-12 && (std.unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(mean_and_std(&[Some(0.1)]), (Some(0.1), None));
        assert_eq!(mean_and_std(&[None]), (None, None));
    }

    #[test]
    fn the_matrix_has_a_row_for_each_training_set_and_names_what_is_undefined() {
        let lines: Vec<String> = transfer("music").matrix().lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "| | sound | music |",
                "|---|---:|---:|",
                "| sound | +0.30 ± 0.14, 50 % | +0.10 (1 undefined), 50 % |",
                "| music | undefined, 50 % | -0.50 ± 0.00, 50 % |",
                "| base Acc | 55.0 % | - |",
            ]
        );
    }

    #[test]
    fn an_interval_over_seeds_holds_those_of_all_seeds() {
        let transfer = transfer("music");
        let hull = transfer.cells[0].hull().unwrap();
        assert!((hull[0] + 0.1).abs() < 1e-12 && (hull[1] - 0.6).abs() < 1e-12, "{hull:?}");
        assert_eq!(transfer.cells[2].hull(), None);
    }
}
