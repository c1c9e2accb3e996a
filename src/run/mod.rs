//! A run: its folder, its base model, its questions, and whether it is the run that the recipe describes.

pub(crate) mod allow;
mod error;
pub(crate) mod inputs;
mod model;
pub(crate) mod questions;
pub(crate) mod rendered;
pub(crate) mod rows;
pub(crate) mod same_run;

use std::path::{Path, PathBuf};

use idk_common::lock::RunLock;
use idk_common::{CommonError, RunDir};
use idk_model::Adapters;

use crate::recipe::Recipe;
use crate::terminal::{Failure, say};
use questions::Set;
use same_run::{check_same_run, write_identity};

pub(crate) use error::RunError;
pub(crate) use model::{AnsweringModel, BaseModel, EvaluatedModel, folder_name, model_sha256};

/// How a program was asked to run, apart from its recipe.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options<'a> {
    /// Move an earlier run aside first.
    pub(crate) fresh: bool,
    /// Print JSON on stdout instead of text.
    pub(crate) json: bool,
    /// Keys of the recipe that a run may resume with another value of.
    pub(crate) allow_changes: &'a [String],
}

/// A run that is open: its folder is locked and its model loaded.
pub(crate) struct Run<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) dir: RunDir,
    pub(crate) model: AnsweringModel,
    /// Where rendered splits of the bank lie.
    pub(crate) questions: PathBuf,
    /// Keys of the recipe that it may resume with another value of.
    pub(crate) allow_changes: &'a [String],
    _lock: RunLock,
}

/// How a folder is locked and claimed.
pub(crate) type Claim = fn(&Path) -> Result<RunLock, CommonError>;

impl<'a> Run<'a> {
    /// Loads the model, gives it to `before`, and locks the folder `root` with `claim`, which makes it if it is missing:
    /// what `before` rejects leaves no folder behind.
    ///
    /// # Errors
    /// Those of `before`; a model that cannot be loaded; a folder that another process holds, or that holds files of
    /// someone else.
    pub(crate) fn open<T>(
        recipe: &'a Recipe,
        root: &Path,
        claim: Claim,
        before: impl FnOnce(&AnsweringModel) -> Result<T, Failure>,
    ) -> Result<(Self, T), Failure> {
        let model = AnsweringModel::load(recipe)?;
        let found = before(&model)?;
        let lock = claim(root)?;
        let dir = RunDir::new(root);
        let questions = dir.questions();
        Ok((Self { recipe, dir, model, questions, allow_changes: &[], _lock: lock }, found))
    }

    /// Opens a run to do its stages, or to resume them: `identity.json` and `recipe.toml` are written.
    ///
    /// # Errors
    /// Inputs that cannot be used, before anything is written; a folder that holds another run.
    pub(crate) fn start(recipe: &'a Recipe, root: &Path, options: &Options<'a>) -> Result<Self, Failure> {
        questions::check(&recipe.data, &[Set::Train, Set::Val, Set::Test])?;
        inputs::check_evaluation(recipe)?;
        inputs::check_start_files(recipe)?;
        if !options.fresh {
            RunDir::new(root).check_claim()?;
        }
        let (mut run, ()) = Self::open(recipe, root, claim_run, |model| {
            inputs::check_feature_cache(recipe)?;
            // A model that only a server has is sampled, never trained.
            if let Ok(BaseModel { lalm, .. }) = model.folder() {
                let linears = lalm.config.linears();
                inputs::check_start_shape(recipe, &linears, |dir| Adapters::load(dir, lalm))?;
            }
            if options.fresh { move_aside(root) } else { Ok(()) }
        })?;
        run.allow_changes = options.allow_changes;
        check_same_run(recipe, &run.dir, run.model.sha256(), run.allow_changes)?;
        run.write_recipe()?;
        Ok(run)
    }

    /// Writes `identity.json`, then `recipe.toml`.
    fn write_recipe(&self) -> Result<(), Failure> {
        write_identity(&self.dir, self.model.sha256(), &self.recipe.model)?;
        let text = format!(
            "# The recipe of this run with every default filled in; it can be run again as it is.\n\n{}",
            self.recipe.to_toml()?
        );
        Ok(idk_common::fs::write_atomic(&self.dir.recipe(), text.as_bytes())?)
    }
}

/// Claims a folder as a run's.
pub(crate) fn claim_run(root: &Path) -> Result<RunLock, CommonError> {
    RunDir::new(root).claim()
}

/// Renames a run folder to the first free `NAME.old-N`.
pub(crate) fn move_aside(root: &Path) -> Result<(), Failure> {
    if !root.exists() {
        return Ok(());
    }
    // Held while the folder moves, so that a run in progress is not pulled away.
    let _lock = RunLock::acquire(root)?;
    let name = |number: usize| root.with_file_name(format!("{}.old-{number}", folder_name(root)));
    let target = (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
    std::fs::rename(root, &target).map_err(idk_common::CommonError::io("move aside", root))?;
    say(&format!("the earlier run is now in {}", target.display()));
    Ok(())
}
