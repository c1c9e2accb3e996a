//! The recipe of one stage: which model it starts from, the mix of tasks, the optimiser.

use std::path::{Path, PathBuf};

use idk_common::problem::joined;
use idk_common::{Problem, Problems};
use idk_trainer::TrainConfig;
use serde::{Deserialize, Serialize};

use crate::error::PretrainError;
use crate::init::InitConfig;
use crate::rows::BaseConfig;

/// A whole recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PretrainRecipe {
    /// Seed of weights and rows.
    pub(crate) seed: u64,
    /// The model to start from, unless `init` says that it is new.
    pub(crate) model: StartSection,
    /// The sizes of a new model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) init: Option<InitConfig>,
    /// The mix of tasks.
    pub(crate) base: BaseConfig,
    /// The optimiser and its schedule.
    pub(crate) train: TrainConfig,
    /// The run folder.
    pub(crate) output: FolderSection,
}

/// `[model]`: what is trained, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StartSection {
    /// Folder of the model of an earlier stage.
    pub(crate) path: PathBuf,
    /// `cpu`, `cuda`, `cuda:N` or `wgpu`.
    pub(crate) device: String,
}

impl Default for StartSection {
    fn default() -> Self {
        Self { path: PathBuf::from("checkpoints/mini-lalm"), device: "cpu".to_owned() }
    }
}

/// `[output]`: the run folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FolderSection {
    /// Made when missing; the model goes into `model/` in it.
    pub(crate) dir: PathBuf,
}

impl Default for FolderSection {
    fn default() -> Self {
        Self { dir: PathBuf::from("runs/base") }
    }
}

impl PretrainRecipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// A file that cannot be read; [`PretrainError::Recipe`] with the line of what is no recipe, or with every value
    /// that is out of range.
    pub(crate) fn load(path: &Path) -> Result<Self, PretrainError> {
        let wrong = |what: String| PretrainError::Recipe { path: path.to_owned(), what };
        let text = idk_common::fs::read_to_string(path)?;
        let recipe: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let problems = recipe.problems();
        if problems.is_empty() { Ok(recipe) } else { Err(wrong(joined(&problems))) }
    }

    /// What is wrong with the values, all of it.
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("train");
        problems.require(self.train.max_steps.is_some(), "max_steps", "must be given: the rows have no end");
        let no_choice = "and `target_refusal_rate` are for adapters alone";
        problems.require(!self.train.selects(), "metric_for_best", no_choice);
        let mut found = problems.into_vec();
        found.extend(self.base.problems());
        found.extend(self.init.iter().flat_map(InitConfig::problems));
        found.extend(self.train.problems());
        found
    }

    /// The recipe with every default filled in.
    ///
    /// # Errors
    /// [`PretrainError::Recipe`] if a value has no TOML form (never for one that was read).
    pub(crate) fn to_toml(&self) -> Result<String, PretrainError> {
        let path = self.output.dir.join("recipe.toml");
        toml::to_string(self).map_err(|error| PretrainError::Recipe { path, what: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipes_of_the_embedded_model_can_be_read_and_print_as_themselves() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/base");
        for name in ["1-listen", "2-answer", "3-choose", "4-choose-more"] {
            let recipe = PretrainRecipe::load(&dir.join(format!("{name}.toml"))).unwrap();
            assert_eq!(recipe.init.is_some(), name == "1-listen");
            assert_eq!(toml::from_str::<PretrainRecipe>(&recipe.to_toml().unwrap()).unwrap(), recipe);
        }
    }

    #[test]
    fn every_value_out_of_range_is_named_and_an_unknown_key_has_its_line() {
        let dir = std::env::temp_dir().join(format!("idk-pretrain-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let said = |text: &str| {
            let path = dir.join("r.toml");
            idk_common::fs::write_atomic(&path, text.as_bytes()).unwrap();
            PretrainRecipe::load(&path).unwrap_err().to_string()
        };
        let both = said("[base]\nrepeat = -1\n[train]\nepochs = 1\n");
        assert!(both.contains("max_steps") && both.contains("repeat"), "{both}");
        let unknown = said("[train]\nmax_steps = 1\n[base]\nrepaet = 1\n");
        assert!(unknown.contains("line 4") && unknown.contains("repaet"), "{unknown}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
