//! Options that the programs share.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use idk_common::RunDir;

use crate::recipe::Recipe;
use crate::run::RunError;
use crate::terminal::Failure;

/// Exit codes, the end of every `--help`.
macro_rules! exit_codes {
    () => {
        "\
Exit codes: 0 success, 2 usage or recipe, 65 bad data or mismatch, 66 missing input,
70 numeric stop, 74 input/output, 75 run folder busy, 130 or 143 stopped by a signal."
    };
}
pub(super) use exit_codes;

/// Options of what reads a recipe.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct RecipeArgs {
    /// The recipe, a TOML file
    pub(super) recipe: Option<PathBuf>,
    /// Overrides a key of the recipe, e.g. `--set train.learning_rate=5e-4`; may be given again
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub(super) set: Vec<String>,
}

impl RecipeArgs {
    /// Reads the recipe with its overrides.
    ///
    /// # Errors
    /// [`RunError::Usage`] if none is named; every mistake of the recipe at once.
    pub(super) fn load(&self) -> Result<Recipe, Failure> {
        if self.recipe.is_none() {
            return Err(RunError::usage("no recipe given; try `recipes/sound.toml`").into());
        }
        self.load_or_default()
    }

    /// The same, but all defaults when no recipe is named.
    ///
    /// # Errors
    /// Every mistake of the recipe at once.
    pub(super) fn load_or_default(&self) -> Result<Recipe, Failure> {
        Ok(match &self.recipe {
            Some(path) => Recipe::load(path, &self.set)?,
            None => Recipe::parse("", Path::new("(defaults)"), &self.set)?,
        })
    }
}

/// Options of what reads a finished run.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    /// The recipe, or the folder of a finished run
    recipe: PathBuf,
    /// Overrides a key of the recipe, e.g. `--set sweep.adapter_scale=[0.5,1]`; may be given again
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

impl RunArgs {
    /// Reads the recipe, of a folder its own, with its overrides.
    ///
    /// # Errors
    /// Every mistake of the recipe at once.
    pub(super) fn load(&self) -> Result<Recipe, Failure> {
        if !self.recipe.is_dir() {
            return Ok(Recipe::load(&self.recipe, &self.set)?);
        }
        let mut recipe = Recipe::load(&RunDir::new(&self.recipe).recipe(), &self.set)?;
        // It may have been moved.
        self.recipe.clone_into(&mut recipe.output.dir);
        Ok(recipe)
    }
}

/// Reads one of several values by its name.
pub(super) fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    let names = PossibleValuesParser::new(values.map(|(name, _)| name));
    names.try_map(move |given| {
        let found = values.iter().find(|(name, _)| *name == given);
        found.map(|(_, value)| *value).ok_or(format!("`{given}` is no value"))
    })
}

/// Rejects what is `given` next to a subcommand, which has options of its own.
///
/// # Errors
/// [`RunError::Usage`] that names the first.
pub(super) fn reject_next_to(subcommand: &str, given: &[(&str, bool)]) -> Result<(), RunError> {
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(RunError::usage(format!("{subcommand} does not take {name}"))),
        None => Ok(()),
    }
}
