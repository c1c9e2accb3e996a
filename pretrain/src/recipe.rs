//! The recipe of one stage: which model it starts from, what of it is trained, the mix of tasks, the optimiser.

use std::path::{Path, PathBuf};

use idk_common::problem::joined;
use idk_common::text::did_you_mean;
use idk_common::{Problem, Problems};
use idk_model::Role;
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
    /// The parts that are trained, of `encoder`, `projector`, `decoder` and `head`; the others stay as they are. All when
    /// empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trainable: Vec<String>,
}

impl StartSection {
    /// What is wrong with the values of `[model]`, all of it.
    fn problems(&self) -> Vec<Problem> {
        let names = || Role::ALL.into_iter().map(Role::name);
        let mut problems = Problems::of_section("model");
        for (index, part) in self.trainable.iter().enumerate() {
            if !names().any(|name| name == part) {
                let advice = match did_you_mean(part, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                };
                problems.add("trainable", format!("names an unknown part, `{part}`; {advice}"));
            }
            problems.require(
                !self.trainable[..index].contains(part),
                "trainable",
                format!("names `{part}` twice"),
            );
        }
        problems.into_vec()
    }

    /// The parts that are trained.
    pub(crate) fn trained_parts(&self) -> Vec<Role> {
        let is_trained =
            |role: &Role| self.trainable.is_empty() || self.trainable.iter().any(|it| it == role.name());
        Role::ALL.into_iter().filter(is_trained).collect()
    }
}

impl Default for StartSection {
    fn default() -> Self {
        Self { path: PathBuf::from("checkpoints/mini-lalm"), device: "cpu".to_owned(), trainable: Vec::new() }
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
        found.extend(self.model.problems());
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
    fn all_parts_are_trained_unless_some_are_named_and_a_recipe_that_names_none_prints_as_before() {
        let whole = PretrainRecipe::default();
        assert_eq!(whole.model.trained_parts(), Role::ALL);
        assert!(!whole.to_toml().unwrap().contains("trainable"));
        let some: PretrainRecipe = toml::from_str("[model]\ntrainable = [\"head\", \"encoder\"]").unwrap();
        assert_eq!(some.model.trained_parts(), [Role::Encoder, Role::Head]);
    }

    #[test]
    fn the_recipe_of_the_base_of_real_parts_trains_the_projector_alone() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/real-parts/1-hear.toml");
        assert_eq!(PretrainRecipe::load(&path).unwrap().model.trained_parts(), [Role::Projector]);
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
        let part = said("[model]\ntrainable = [\"head\", \"projektor\", \"head\"]\n[train]\nmax_steps = 1\n");
        assert!(part.contains("did you mean `projector`?") && part.contains("`head` twice"), "{part}");
        let unknown = said("[train]\nmax_steps = 1\n[base]\nrepaet = 1\n");
        assert!(unknown.contains("line 4") && unknown.contains("repaet"), "{unknown}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
