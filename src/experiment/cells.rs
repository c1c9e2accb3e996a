//! A grid: one recipe turned through several cells, each a run of its own below the experiment's folder.
//!
//! Finished cells are kept, so an interrupted experiment resumes.

use std::path::PathBuf;

use idk_common::RunDir;
use idk_common::lock::RunLock;
use idk_evaluator::Results;

use crate::recipe::Recipe;
use crate::run::{Options, move_aside};
use crate::stage;
use crate::terminal::{Failure, say};

/// The folder of an experiment; it is locked.
pub(super) struct Grid<'a> {
    recipe: &'a Recipe,
    pub(super) dir: RunDir,
    /// Those of a cell: the experiment has been moved aside as a whole.
    pub(super) options: Options<'a>,
    _lock: RunLock,
}

impl<'a> Grid<'a> {
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

    /// Does what is left of a cell, which `title` names on the screen; its clips are rendered into `questions`.
    ///
    /// # Errors
    /// Whatever stops a run.
    pub(super) fn results(&self, title: &str, cell: &Recipe, questions: PathBuf) -> Result<Results, Failure> {
        say(title);
        stage::cell(cell, questions, &self.options)
    }
}
