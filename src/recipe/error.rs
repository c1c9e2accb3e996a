//! What can be wrong with a recipe: all of it, each mistake with its line.

use std::path::{Path, PathBuf};

use idk_common::diagnose::{Diagnose, ExitKind};
use idk_common::paths::find;
use idk_common::{CommonError, Problem};

use super::KeyLines;

/// Where `idk_common::paths::find` looks for what comes with the program.
const WHERE_SHIPPED: &str = "recipes that come with the program are looked for in this folder, next to the program, in \
                             ~/.local/share/idk, and in the source tree that it was built from";

/// One mistake in a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeProblem {
    /// Line of the file, counted from 1; none for a `--set`.
    pub line: Option<usize>,
    /// What is wrong with which key.
    pub problem: Problem,
}

impl RecipeProblem {
    /// The problem, placed at the line of its key.
    pub fn at(places: &KeyLines, problem: Problem) -> Self {
        Self { line: places.line(&problem.key), problem }
    }
}

/// A recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file could not be read.
    #[error("cannot read the recipe `{}`", path.display())]
    Unreadable {
        /// The recipe.
        path: PathBuf,
        /// Why.
        source: CommonError,
    },
    /// The file has mistakes; all of them.
    #[error("{}", list_problems(path, problems))]
    Invalid {
        /// The recipe.
        path: PathBuf,
        /// Every mistake, in the order of the file.
        problems: Vec<RecipeProblem>,
    },
    /// The recipe has no TOML form.
    #[error("cannot print the recipe: {what}")]
    Unprintable {
        /// What the TOML writer said.
        what: String,
    },
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl")
}

/// The shipped recipe whose name, with or without folder and ending, is nearest to a path that does not exist.
fn shipped_like(path: &Path) -> Option<String> {
    const FOLDER: &str = "recipes";
    let asked = path.with_extension("");
    let asked = asked.strip_prefix(FOLDER).unwrap_or(&asked).to_str()?;
    let folder = find(Path::new(FOLDER), None);
    let recipes = idk_common::paths::regular_files(&folder).ok()?;
    let names = recipes.keys().filter_map(|name| name.strip_suffix(".toml"));
    let near = idk_common::text::did_you_mean(asked, names)?;
    Some(format!("{FOLDER}/{near}.toml"))
}

fn list_problems(path: &Path, problems: &[RecipeProblem]) -> String {
    let count = problems.len();
    let mut text =
        format!("the recipe `{}` has {count} mistake{}", path.display(), if count == 1 { "" } else { "s" });
    for RecipeProblem { line, problem } in problems {
        let place = match line {
            Some(line) => format!("{}:{line}", path.display()),
            None => "--set".to_owned(),
        };
        text.push_str(&format!("\n  {place}: {problem}{}", hint_line(problem)));
    }
    text
}

/// The hint of a problem on a line of its own.
pub(crate) fn hint_line(problem: &Problem) -> String {
    problem.hint.as_ref().map_or(String::new(), |hint| format!("\n    hint: {hint}"))
}

impl Diagnose for RecipeError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Unreadable { source, .. } => source.exit_kind(),
            Self::Invalid { .. } | Self::Unprintable { .. } => ExitKind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { path, .. } => match shipped_like(path) {
                Some(recipe) => Some(format!("did you mean `{recipe}`? `idk-train --list` prints every recipe")),
                None => Some(WHERE_SHIPPED.to_owned()),
            },
            Self::Invalid { path, .. } if is_json(path) => Some(
                "a recipe is a TOML file; a file of questions is named in it, or with `--set data.train=FILE` and \
                 `--set data.test=FILE`"
                    .to_owned(),
            ),
            Self::Invalid { .. } => {
                Some("nothing was read or written; correct the recipe and run again".to_owned())
            }
            Self::Unprintable { .. } => None,
        }
    }
}
