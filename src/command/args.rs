//! Options that the programs share.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use idk_common::RunDir;
use idk_common::paths::find;

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

/// What replaces keys of a recipe.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Overrides {
    /// Override a key of the recipe, e.g. `--set train.learning_rate=5e-4`; repeatable
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Device to compute on: cpu, cuda, cuda:N or wgpu; overrides `device` in [model]
    #[arg(long)]
    device: Option<String>,
}

impl Overrides {
    /// All of them as `section.key=value`, the last of a key being the one that counts.
    pub(super) fn assignments(&self) -> Vec<String> {
        let device = self.device.clone().map(|device| format!("model.device={}", toml::Value::from(device)));
        self.set.iter().cloned().chain(device).collect()
    }

    /// What of it was given, in words.
    pub(super) fn given(&self) -> [(&'static str, bool); 2] {
        [("--set before its name", !self.set.is_empty()), ("--device before its name", self.device.is_some())]
    }
}

/// Options of what reads a recipe.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct RecipeArgs {
    /// Recipe, a TOML file, or the folder of a run
    pub(super) recipe: Option<PathBuf>,
    #[command(flatten)]
    pub(super) overrides: Overrides,
}

impl RecipeArgs {
    /// Reads the recipe with its overrides.
    ///
    /// # Errors
    /// [`RunError::NoRecipe`] if none is named; every mistake of the recipe at once.
    pub(super) fn load(&self) -> Result<Recipe, Failure> {
        if self.recipe.is_none() {
            return Err(RunError::NoRecipe.into());
        }
        self.load_or_default()
    }

    /// The same, but all defaults when no recipe is named.
    ///
    /// # Errors
    /// Every mistake of the recipe at once.
    pub(super) fn load_or_default(&self) -> Result<Recipe, Failure> {
        match &self.recipe {
            Some(path) => load_recipe_or_run(path, &self.overrides),
            None => Ok(Recipe::parse("", Path::new("(defaults)"), &self.overrides.assignments())?),
        }
    }

    /// What of it was given, in words.
    pub(super) fn given(&self) -> [(&'static str, bool); 3] {
        let [set, device] = self.overrides.given();
        [("a recipe before its name", self.recipe.is_some()), set, device]
    }
}

/// Options of what reads a finished run.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    /// Recipe, or the folder of a finished run
    recipe: PathBuf,
    #[command(flatten)]
    pub(super) overrides: Overrides,
}

impl RunArgs {
    /// Reads the recipe, of a folder its own, with its overrides.
    ///
    /// # Errors
    /// Every mistake of the recipe at once.
    pub(super) fn load(&self) -> Result<Recipe, Failure> {
        load_recipe_or_run(&self.recipe, &self.overrides)
    }
}

/// Reads the recipe at `path`, or that of the run whose folder it is, with overrides.
///
/// # Errors
/// Every mistake of the recipe at once; [`RunError::NotARun`].
pub(super) fn load_recipe_or_run(path: &Path, overrides: &Overrides) -> Result<Recipe, Failure> {
    const FOLDER: &str = "output.dir";
    let overrides = overrides.assignments();
    if !path.is_dir() {
        // An installed program finds the shipped recipes from any folder.
        return Ok(Recipe::load(&find(path, None), &overrides)?);
    }
    let run = RunDir::new(path);
    if !run.recipe().is_file() {
        return Err(RunError::NotARun { dir: path.to_owned(), run: a_run_near(path) }.into());
    }
    let mut recipe = Recipe::load(&run.recipe(), &overrides)?;
    let is_elsewhere =
        overrides.iter().any(|text| text.split('=').next().is_some_and(|key| key.trim() == FOLDER));
    if !is_elsewhere {
        // It may have been moved.
        path.clone_into(&mut recipe.output.dir);
    }
    Ok(recipe)
}

/// The run that `dir` is a part of, else the first among the folders in it.
fn a_run_near(dir: &Path) -> Option<PathBuf> {
    let is_run = |folder: &&Path| !folder.as_os_str().is_empty() && RunDir::new(*folder).recipe().is_file();
    if let Some(run) = dir.parent().filter(is_run) {
        return Some(run.to_owned());
    }
    let entries = std::fs::read_dir(dir).ok()?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    folders.into_iter().find(|folder| is_run(&folder.as_path()))
}

/// Reads a whole number, 0 or above, of an option.
pub(super) fn whole_number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "give a whole number, 0 or above".to_owned())
}

/// Reads a number of an option.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let finite = text.parse().ok().filter(|number: &f64| number.is_finite());
    finite.ok_or_else(|| "give a number".to_owned())
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
pub(super) fn reject_next_to<'a>(
    subcommand: &str,
    given: impl IntoIterator<Item = (&'a str, bool)>,
) -> Result<(), RunError> {
    match given.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(RunError::usage(format!("{subcommand} does not take {name}"))),
        None => Ok(()),
    }
}
