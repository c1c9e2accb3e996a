//! Which value of a grid to take: the best RGI on val among those that keep enough of the right answers.

use crate::compare::methods::ALL;
use crate::error::EvalError;
use crate::grid::cell::GridScore;
use crate::grid::file::{Grid, Picked};
use crate::grid::kind::GridSet;

/// How much accuracy a value must keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AccuracyFloor {
    /// At least this accuracy, in percent.
    Percent(f64),
    /// At least this share of the base model's accuracy.
    OfBase(f64),
}

impl AccuracyFloor {
    /// The least accuracy, in percent.
    fn percent(self, base_acc: f64) -> f64 {
        match self {
            Self::Percent(percent) => percent,
            Self::OfBase(share) => share * base_acc,
        }
    }
}

/// What became of a choice.
#[derive(Clone, Debug, PartialEq)]
pub enum Pick {
    /// This value is recommended.
    Best(Picked),
    /// None is.
    None {
        /// Why.
        why: String,
        /// Whether a lower floor would leave one.
        below_floor: bool,
    },
}

/// The number of the highest RGI on val whose accuracy is at least `floor`, if that RGI is above 0; of equal ones the
/// smallest. Where a value loses no right answer its RGI is infinite, and the low end of its interval counts instead.
///
/// # Errors
/// [`EvalError::Grid`] for a grid of the test set: nothing is picked on that.
pub fn pick(grid: &Grid, floor: AccuracyFloor) -> Result<Pick, EvalError> {
    let name = grid.kind.name();
    if grid.set != GridSet::Val {
        let what = "a value is picked on val, not on the test set".to_owned();
        return Err(EvalError::Grid { path: name.into(), what });
    }
    let least = floor.percent(grid.base_acc_of(ALL).unwrap_or(0.0));
    let points = grid.cells.iter().filter_map(|cell| Some((cell.value.number()?, cell.all()?)));
    let gaining: Vec<(f64, &GridScore)> =
        points.filter(|(_, point)| rank(point).is_some_and(|rank| rank > 0.0)).collect();
    let best = gaining
        .iter()
        .filter(|(_, point)| point.acc.is_some_and(|acc| acc >= least))
        .reduce(|best, next| if rank(next.1) > rank(best.1) { next } else { best });
    Ok(match best {
        Some((value, point)) => Pick::Best(Picked { value: *value, why: reason(point, least) }),
        None if gaining.is_empty() => {
            Pick::None { why: format!("no {name} gains more than it loses on val"), below_floor: false }
        }
        None => Pick::None {
            why: format!(
                "every {name} that gains more than it loses on val has an accuracy below {least:.1} %"
            ),
            below_floor: true,
        },
    })
}

/// What a value is ranked by; `None` where it changes nothing or only loses.
fn rank(point: &GridScore) -> Option<f64> {
    match point.rgi_reason.as_deref() {
        Some("lost nothing") => point.rgi_ci95.map(|[low, _]| low),
        _ => point.rgi,
    }
}

fn reason(point: &GridScore, least: f64) -> String {
    let what = match point.rgi {
        Some(rgi) => format!("the highest RGI on val ({rgi:+.2})"),
        None => "it loses no right answer on val".to_owned(),
    };
    let doubt = match point.rgi_ci95 {
        Some([low, _]) if low <= 0.0 => "; its interval holds 0, so it may be luck",
        _ => "",
    };
    format!("{what} of those with an accuracy of {least:.1} % or more{doubt}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::grid::cell::GridCell;
    use crate::grid::kind::GridKind;

    fn point(value: f64, acc: f64, rgi: Option<f64>) -> GridCell {
        let rgi_ci95 = rgi.map(|rgi| [rgi - 0.2, rgi + 0.2]);
        cell(value, GridScore { acc: Some(acc), rgi, rgi_ci95, ..GridScore::default() })
    }

    fn cell(value: f64, score: GridScore) -> GridCell {
        GridCell { value: value.into(), seed: None, tasks: BTreeMap::from([(ALL.to_owned(), score)]) }
    }

    fn sweep(cells: Vec<GridCell>) -> Grid {
        let base_acc = BTreeMap::from([(ALL.to_owned(), Some(60.0))]);
        Grid::new(GridKind::AdapterScale, GridSet::Val, 100, base_acc, cells)
    }

    fn value(choice: Pick) -> Option<f64> {
        match choice {
            Pick::Best(picked) => Some(picked.value),
            Pick::None { .. } => None,
        }
    }

    #[test]
    fn the_best_rgi_wins_among_those_that_keep_enough_accuracy() {
        let sweep = sweep(vec![
            point(0.0, 60.0, None),
            point(0.5, 55.0, Some(0.25)),
            point(0.75, 50.0, Some(0.3)),
            point(1.0, 40.0, Some(0.5)),
            point(2.0, 49.0, Some(0.3)),
        ]);
        let picked = |floor| value(pick(&sweep, floor).unwrap());
        assert_eq!(picked(AccuracyFloor::OfBase(0.8)), Some(0.75), "48 % at least; of equals the smaller");
        assert_eq!(picked(AccuracyFloor::OfBase(0.0)), Some(1.0));
        assert_eq!(picked(AccuracyFloor::Percent(51.0)), Some(0.5));
        let Pick::None { why, below_floor: true } = pick(&sweep, AccuracyFloor::Percent(59.0)).unwrap()
        else {
            panic!()
        };
        assert_eq!(
            why,
            "every adapter_scale that gains more than it loses on val has an accuracy below 59.0 %"
        );
    }

    #[test]
    fn where_nothing_helps_nothing_is_picked_and_the_reason_is_said() {
        let sweep =
            sweep(vec![point(0.0, 60.0, None), point(1.0, 55.0, Some(-0.1)), point(2.0, 58.0, Some(0.0))]);
        let Pick::None { why, below_floor: false } = pick(&sweep, AccuracyFloor::OfBase(0.5)).unwrap() else {
            panic!()
        };
        assert_eq!(why, "no adapter_scale gains more than it loses on val");
    }

    #[test]
    fn losing_nothing_counts_by_the_low_end_of_the_interval_and_a_doubtful_gain_is_said() {
        let clean = |low| {
            let score = GridScore {
                acc: Some(60.0),
                rgi_reason: Some("lost nothing".to_owned()),
                rgi_ci95: Some([low, 1.0]),
                ..GridScore::default()
            };
            cell(0.25, score)
        };
        let best =
            |low| pick(&sweep(vec![clean(low), point(1.0, 55.0, Some(0.15))]), AccuracyFloor::OfBase(0.8));
        assert_eq!(value(best(0.2).unwrap()), Some(0.25));
        let Pick::Best(picked) = best(0.1).unwrap() else { panic!() };
        assert_eq!(picked.value, 1.0);
        assert!(picked.why.contains("+0.15") && picked.why.ends_with("it may be luck"), "{}", picked.why);
    }

    #[test]
    fn nothing_is_picked_on_the_test_set() {
        let test = Grid { set: GridSet::Test, ..sweep(vec![point(1.0, 60.0, Some(0.5))]) };
        assert!(
            pick(&test, AccuracyFloor::OfBase(0.0)).unwrap_err().to_string().contains("not on the test set")
        );
    }
}
