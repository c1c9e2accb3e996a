//! An experiment: one recipe turned through several cells, each a run of its own below the experiment's folder.
//!
//! Finished cells are kept, so an interrupted experiment resumes.

use std::path::PathBuf;

use idk_common::RunDir;
use idk_common::lock::RunLock;
use idk_evaluator::{Grid, GridKind, GridValue};

use crate::recipe::Recipe;
use crate::run::{Options, move_aside};
use crate::stage;
use crate::terminal::{Failure, say};

/// The folder of an experiment; it is locked.
pub(super) struct Experiment<'a> {
    recipe: &'a Recipe,
    pub(super) dir: RunDir,
    /// Those of a cell: the experiment has been moved aside as a whole.
    pub(super) options: Options<'a>,
    _lock: RunLock,
}

/// One run of an experiment.
pub(super) struct TrainedCell {
    /// Its place on the axis.
    pub(super) value: GridValue,
    /// Its seed, where the experiment has several.
    pub(super) seed: Option<u64>,
    /// What is said when it starts.
    pub(super) title: String,
    pub(super) recipe: Recipe,
    /// Where its clips are rendered.
    pub(super) questions: PathBuf,
}

impl<'a> Experiment<'a> {
    /// Locks the folder of the recipe, an earlier experiment in it moved aside if `options` say so.
    ///
    /// # Errors
    /// A folder that cannot be moved or made, or that another process holds.
    pub(super) fn open(recipe: &'a Recipe, options: &Options<'a>) -> Result<Self, Failure> {
        let root = &recipe.output.dir;
        if options.fresh {
            move_aside(root)?;
        }
        let dir = RunDir::new(root);
        let lock = dir.claim()?;
        let options = Options { fresh: false, ..*options };
        Ok(Self { recipe, dir, options, _lock: lock })
    }

    /// The recipe of a cell: that of the experiment with `change`, in the folder `name`.
    pub(super) fn cell(&self, name: &str, change: impl FnOnce(&mut Recipe)) -> Recipe {
        self.in_folder(self.dir.cell(name).root, change)
    }

    /// The same in any folder.
    pub(super) fn in_folder(&self, folder: PathBuf, change: impl FnOnce(&mut Recipe)) -> Recipe {
        let mut cell = Recipe { transfer: None, sweep: None, ..self.recipe.clone() };
        cell.output.dir = folder;
        change(&mut cell);
        cell
    }

    /// Does what is left of every cell, and collects their results on the test set.
    ///
    /// # Errors
    /// Whatever stops a run; finished cells stay and are kept by the next start.
    pub(super) fn train(&self, kind: GridKind, cells: Vec<TrainedCell>) -> Result<Grid, Failure> {
        let mut runs = Vec::new();
        for cell in cells {
            say(&cell.title);
            let results = stage::cell(&cell.recipe, cell.questions, &self.options)?;
            runs.push((cell.value, cell.seed, results));
        }
        Ok(Grid::of_evaluations(kind, &runs))
    }
}
