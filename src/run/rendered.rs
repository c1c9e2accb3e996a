//! Splits of a bank of recordings, rendered as question files with their clips.

use std::path::{Path, PathBuf};

use idk_benchmark::{Bank, ComposeConfig, Split};
use idk_common::hash::{sha256_dir, sha256_file, sha256_hex};
use idk_common::identity::differences;
use idk_common::{CommonError, Identity};
use serde::Serialize;

use super::RunError;
use super::questions::Set;
use crate::recipe::DataSection;
use crate::terminal::{Failure, say};

/// What a rendered split was made from; a split with the same origin is not rendered again.
#[derive(Debug, Serialize)]
struct Origin {
    program_version: String,
    bank: String,
    split: String,
    seed: u64,
    questions_per_modality: Option<usize>,
    modalities: Vec<String>,
}

/// The folder of recordings that a recipe means.
pub(crate) fn bank_dir(data: &DataSection) -> PathBuf {
    let near = data.recipe.as_deref();
    if data.bank.is_empty() {
        idk_benchmark::default_bank_dir(near)
    } else {
        idk_common::paths::find(Path::new(&data.bank), near)
    }
}

pub(crate) fn check_split(split: &str, set: Set, spec: &str) -> Result<(), RunError> {
    if Split::NAMES.contains(&split) {
        return Ok(());
    }
    let what = format!("a bank has the splits {}", Split::NAMES.join(", "));
    Err(RunError::Source { key: set.key(), value: spec.to_owned(), what })
}

/// Renders a split into `out`, unless that holds it already, and returns the question file.
pub(super) fn render(
    data: &DataSection,
    split: &str,
    tasks: &[String],
    questions_per_modality: Option<usize>,
    out: &Path,
) -> Result<PathBuf, Failure> {
    let bank_dir = bank_dir(data);
    let origin = Origin {
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        bank: sha256_file(&bank_dir.join("manifest.jsonl"))?,
        split: split.to_owned(),
        seed: data.seed,
        questions_per_modality,
        modalities: tasks.to_vec(),
    };
    let origin_path = out.join("origin.json");
    let questions_path = out.join("questions.json");
    let rendered_from: Identity = idk_common::json::read_json(&origin_path).unwrap_or_default();
    if let Some(rendered) = rendered_from.text("files")
        && differences(&rendered_from, &Identity::of(&origin).with("files", rendered)).is_empty()
    {
        match files_sha256(out) {
            Ok(found) if found == rendered => return Ok(questions_path),
            Ok(_) | Err(CommonError::NotFound { .. }) => {
                say(&format!(
                    "warning: {}: clips are missing or changed; they are rendered again",
                    out.display()
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let bank = Bank::load(&bank_dir)?;
    let config = ComposeConfig {
        split: split.to_owned(),
        questions_per_modality,
        modalities: tasks.to_vec(),
        seed: data.seed,
    };
    // Clips of another set have the same names: until all are written nothing may claim to know what they are.
    idk_common::fs::remove_if_exists(&origin_path)?;
    let path = idk_benchmark::write(&bank, &config, out)?;
    let origin = Identity::of(&origin).with("files", files_sha256(out)?);
    idk_common::json::write_json(&origin_path, &origin)?;
    Ok(path)
}

/// What a rendered split consists of: its questions and its clips.
fn files_sha256(dir: &Path) -> Result<String, CommonError> {
    let questions = sha256_file(&dir.join("questions.json"))?;
    let clips = sha256_dir(&dir.join("audio"))?;
    Ok(sha256_hex(format!("{questions} {clips}").as_bytes()))
}
