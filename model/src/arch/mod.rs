//! Families of models. A family is a record of data: how its folder is read and written, how its tensors are called, how
//! a chat becomes text and a clip becomes tokens. The blocks of [`crate::nn`] are shared by all families.
//!
//! A new family is a file like `qwen2_audio.rs` and a line in [`ARCHITECTURES`].
pub(crate) mod audio;
mod audio_flamingo;
pub(crate) mod config;
mod decoder;
mod encoder;
pub(crate) mod names;
mod qwen2_5_omni;
pub(crate) mod qwen2_audio;
pub(crate) mod section;
pub(crate) mod specs;
pub(crate) mod template;
mod voxtral;

use std::fmt;

use serde_json::Value;

use self::config::LalmConfig;
use self::names::Names;
use self::section::Section;
use self::template::Template;
use crate::error::ModelError;

/// A family of models.
pub struct Architecture {
    /// What `model_type` is in its `config.json`, the usual word first.
    pub model_types: &'static [&'static str],
    /// What it is called.
    pub name: &'static str,
    /// The class of transformers that loads its folders.
    pub transformers_class: &'static str,
    /// Reads `config.json`.
    pub(crate) config: fn(&Section) -> Result<LalmConfig, ModelError>,
    /// Writes `config.json`, given the type of the weights on disk. Only models that are trained from scratch need it.
    pub(crate) to_json: Option<fn(&LalmConfig, &str) -> Value>,
    /// How its files and PEFT spell its tensors.
    pub names: Names,
    /// Its special tokens, and its chat template where the folder has none.
    pub(crate) template: Template,
    /// Files of its folders, besides settings and weights, that a merged folder needs as well.
    pub(crate) other_files: &'static [&'static str],
}

/// The families that are known. A `config.json` without a `model_type` is taken for the first.
pub static ARCHITECTURES: [&Architecture; 5] = [
    &qwen2_audio::ARCHITECTURE,
    &qwen2_5_omni::ARCHITECTURE,
    &audio_flamingo::AUDIO_FLAMINGO_3,
    &audio_flamingo::MUSIC_FLAMINGO,
    &voxtral::ARCHITECTURE,
];

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_types[0])
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.model_types == other.model_types
    }
}

/// The family that a `config.json` names.
fn architecture(root: &Section) -> Result<&'static Architecture, ModelError> {
    let Some(found) = root.get("model_type") else { return Ok(ARCHITECTURES[0]) };
    let known =
        |known: &&Architecture| found.as_str().is_some_and(|found| known.model_types.contains(&found));
    ARCHITECTURES.into_iter().find(known).ok_or_else(|| {
        let list: Vec<String> = ARCHITECTURES
            .iter()
            .map(|known| format!("\"{}\" ({})", known.model_types[0], known.name))
            .collect();
        root.error(
            "model_type",
            format!("{found} is not a known family of models; known: {}", list.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_family_is_an_error_that_lists_the_known_ones() {
        for unknown in [json!("llama"), json!("qwen2_audio_encoder"), json!(7)] {
            let config = json!({"model_type": unknown});
            let error = LalmConfig::from_value(Path::new("config.json"), &config).unwrap_err().to_string();
            assert!(error.contains("`model_type`") && error.contains(&unknown.to_string()), "{error}");
            for known in ARCHITECTURES {
                assert!(error.contains(&format!("\"{}\" ({})", known.model_types[0], known.name)), "{error}");
            }
        }
    }

    #[test]
    fn no_two_families_have_one_model_type() {
        for (index, architecture) in ARCHITECTURES.iter().enumerate() {
            let others = ARCHITECTURES[..index].iter().flat_map(|other| other.model_types);
            let shared: Vec<_> = others.filter(|other| architecture.model_types.contains(other)).collect();
            assert!(shared.is_empty(), "{architecture:?}: {shared:?}");
        }
    }
}
