//! The refusal offset of a run's adapter: what each would refuse, and which to take, by val alone.

use idk_evaluator::{
    AccuracyFloor, EvalError, Grid, GridSet, HeldBack, Pick, Picked, Prepared, grid_table, pick,
};

use super::sweep::SweptRun;
use crate::recipe::Recipe;
use crate::run::RunError;
use crate::run::questions::Set;
use crate::terminal::{Failure, print_result};

/// What `idk-eval pick --offset` was asked for, besides the recipe.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OffsetRequest {
    /// The share of val to refuse; without it the best RGI is picked.
    pub(crate) refuse: Option<f64>,
    /// The least accuracy of the best RGI; without it `min_accuracy` of `[sweep]`.
    pub(crate) floor: Option<AccuracyFloor>,
    /// Print JSON on stdout instead of text.
    pub(crate) json: bool,
}

/// `idk-eval pick --offset`: the refusal offset to take, by a wanted refusal rate or by RGI on val. One pass over val, with
/// the refusals held back, tells what every offset would refuse.
///
/// # Errors
/// As [`sweep`](super::sweep::sweep); [`RunError::Usage`] where answers are by text.
pub(crate) fn pick_refusal_offset(recipe: &Recipe, request: OffsetRequest) -> Result<(), Failure> {
    if !recipe.eval.answer_by.is_from_list() {
        let what = "answers by text have no refusal offset: add `--set eval.answer_by=guided`".to_owned();
        return Err(RunError::Usage { what }.into());
    }
    let run = SweptRun::open(recipe, &[Set::Val])?;
    let config = recipe.sweep.clone().unwrap_or_default();
    let val = run.prepared(GridSet::Val)?;
    let grid = run.with_sweeper(|sweeper| {
        let held_back = sweeper.held_back(run.adapter(), &val)?;
        let wanted = request.refuse.map(|rate| wanted(&held_back, rate)).transpose()?;
        let mut offsets = held_back.offsets()?;
        offsets.extend(wanted.iter().map(|picked| picked.value));
        sweeper.at_offsets(&held_back, GridSet::Val, &offsets, wanted)
    })?;
    let choice = match &grid.picked {
        Some(picked) => Pick::Best(picked.clone()),
        None => pick(&grid, request.floor.unwrap_or(AccuracyFloor::OfBase(config.min_accuracy)))?,
    };
    let picked = match &choice {
        Pick::Best(picked) => Some(picked.clone()),
        Pick::None { .. } => None,
    };
    let grid = Grid { picked, ..grid };
    grid.write(run.root())?;
    Ok(print_result(request.json, &grid, || advice(&grid, &choice))?)
}

fn wanted(held_back: &HeldBack<'_>, rate: f64) -> Result<Picked, EvalError> {
    let why =
        format!("refuses {:.1} % of the questions of val that have options, as was wanted", 100.0 * rate);
    Ok(Picked { value: held_back.offset_at(rate)?, why })
}

fn advice(grid: &Grid, choice: &Pick) -> String {
    let table = grid_table(grid);
    match choice {
        Pick::Best(Picked { value, why }) => format!(
            "{table}\nrefusal_offset {value}: {why}.\nEvaluate with `--set eval.refusal_offset={value}`, or write it into [eval]."
        ),
        Pick::None { why, .. } => format!("{table}\nNo refusal_offset is recommended: {why}."),
    }
}

impl SweptRun<'_> {
    /// The offsets come from val and are the same on the test set.
    pub(super) fn offsets(
        &self,
        val: &Prepared,
        test: Option<&Prepared>,
        floor: AccuracyFloor,
        json: bool,
    ) -> Result<(), Failure> {
        let grids = self.with_sweeper(|sweeper| {
            let held_back = sweeper.held_back(self.adapter(), val)?;
            let offsets = held_back.offsets()?;
            let on_val = sweeper.at_offsets(&held_back, GridSet::Val, &offsets, None)?;
            let picked = match pick(&on_val, floor)? {
                Pick::Best(picked) => Some(picked),
                Pick::None { .. } => None,
            };
            let mut grids = vec![Grid { picked: picked.clone(), ..on_val }];
            if let Some(test) = test {
                let held_back = sweeper.held_back(self.adapter(), test)?;
                grids.push(sweeper.at_offsets(&held_back, GridSet::Test, &offsets, picked)?);
            }
            Ok(grids)
        })?;
        grids.iter().try_for_each(|grid| self.publish(grid, json))
    }
}
