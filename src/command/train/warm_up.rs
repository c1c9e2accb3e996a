//! `idk-train warm-up RECIPE`: a GPU's kernels are compiled and chosen before the run that needs them.
//!
//! The recipe is run on a few questions in a temporary folder: that meets the shapes of the run itself, whatever its method.

use clap::Args;
use idk_common::CommonError;

use crate::command::args::RecipeArgs;
use crate::recipe::Recipe;
use crate::run::{Options, RunError};
use crate::stage;
use crate::terminal::{Failure, kernels, print_result};

/// Steps of training: the first compiles, the second shows that nothing is left to compile.
const STEPS: u64 = 2;

/// Arguments of `idk-train warm-up`.
#[derive(Args, Clone, Debug)]
pub(super) struct WarmUpArguments {
    #[command(flatten)]
    recipe: RecipeArgs,
}

impl WarmUpArguments {
    /// Runs the recipe small and says what was compiled.
    ///
    /// # Errors
    /// [`RunError::Usage`] without a recipe or for the CPU; else as a run.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let mut recipe = self.recipe.load()?;
        if recipe.model.device == "cpu" {
            let what = "the CPU has no kernels to compile; name a GPU: `--device cuda`".to_owned();
            return Err(RunError::Usage { what }.into());
        }
        let dir =
            tempfile::tempdir().map_err(CommonError::io("create a folder in", &std::env::temp_dir()))?;
        make_small(&mut recipe);
        recipe.output.dir = dir.path().join("run");
        let options = Options { json, ..Options::default() };
        stage::cell(&recipe, dir.path().join("questions"), &options)?;
        let line = kernels::line().unwrap_or_else(|| "kernels   none".to_owned());
        let row = serde_json::json!({ "type": "kernels", "message": line });
        Ok(print_result(json, &row, || line.clone())?)
    }
}

/// As few questions and steps as meet every shape: a full batch of prompts, and of rows.
fn make_small(recipe: &mut Recipe) {
    let questions = recipe.build.batch_size.max(2 * recipe.train.batch_size);
    let limit = |given: Option<usize>| Some(given.map_or(questions, |given| given.min(questions)));
    recipe.data.limit_per_task = limit(recipe.data.limit_per_task);
    recipe.data.train_questions = recipe.data.train_questions.map(|given| given.min(questions));
    recipe.eval.limit = limit(recipe.eval.limit);
    recipe.train.max_steps = Some(recipe.train.max_steps.map_or(STEPS, |given| given.min(STEPS)));
    recipe.train.eval_every = 0;
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_warm_up_keeps_the_batches_and_does_little_else() {
        let text = "[build]\nbatch_size = 24\n[train]\nbatch_size = 16\nmax_steps = 900\neval_every = 50\n[eval]\nlimit = 5";
        let mut recipe = Recipe::parse(text, Path::new("r.toml"), &[]).unwrap();
        make_small(&mut recipe);
        assert_eq!((recipe.build.batch_size, recipe.train.batch_size), (24, 16));
        assert_eq!((recipe.data.limit_per_task, recipe.eval.limit), (Some(32), Some(5)));
        assert_eq!((recipe.train.max_steps, recipe.train.eval_every), (Some(2), 0));
    }

    #[test]
    fn the_cpu_needs_no_warm_up() {
        let recipe = RecipeArgs { recipe: Some("recipes/sound.toml".into()), ..RecipeArgs::default() };
        let error = WarmUpArguments { recipe }.run(false).unwrap_err();
        assert!(error.to_string().contains("--device cuda"), "{error}");
    }
}
