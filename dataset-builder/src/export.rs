//! The rows of a dataset in the files of other trainers. Each is written as that program's own documentation of its
//! data formats asks for, with no key that it would take for something else.
use std::path::Path;

use idk_common::chat::Message;
use idk_common::json::{JsonlReader, JsonlWriter, read_json, write_json};
use idk_common::{CommonError, fs, owned};
use idk_questions::rows::SftRow;
use serde_json::{Map, Value, json};

use crate::error::BuildError;
use crate::format::calibrated::CalibratedRow;
use crate::format::chats::verify;
use crate::format::files::{
    DPO_FILE, DPO_VAL_FILE, SFT_FILE, SFT_VAL_FILE, TRAIN_FILES, VAL_FILES, relative_to,
};
use crate::format::pairs::DpoRow;

/// The description of the files that LLaMA-Factory reads.
const DATASET_INFO_FILE: &str = "dataset_info.json";

/// The names of our entries in it.
const INFO_NAMES: [&str; 6] =
    ["idk_sft", "idk_dpo", "idk_calibrated", "idk_sft_val", "idk_dpo_val", "idk_calibrated_val"];

/// Who is to read the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// ms-swift: `messages` + `audios`, pairs with `rejected_response`.
    MsSwift,
    /// LLaMA-Factory: ShareGPT with OpenAI's tags, and `dataset_info.json`.
    LlamaFactory,
    /// TRL: conversational `prompt` + `completion`, and `prompt` + `chosen` + `rejected`.
    Trl,
}

impl ExportFormat {
    /// What the program can open: LLaMA-Factory joins paths to its media folder, which is the dataset's by default; the
    /// others open them as they stand, from whatever folder they were started in.
    #[must_use]
    pub fn default_paths(self) -> Paths {
        match self {
            Self::LlamaFactory => Paths::Relative,
            Self::MsSwift | Self::Trl => Paths::Absolute,
        }
    }
}

/// How recordings are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// As seen from the folder of the export.
    Relative,
    /// From the root.
    Absolute,
}

/// What an export wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Each file of rows with their number, in the order of writing.
    pub files: Vec<(String, usize)>,
}

/// Writes the rows of the dataset in `dir` for another trainer into the folder `out`.
///
/// Every row is checked against the dataset's manifest first. Files of an earlier export are replaced, each whole; an
/// existing `dataset_info.json` keeps its other entries.
///
/// # Errors
/// Those of [`verify`]; [`BuildError::Taken`] if `out` is the dataset's own folder; [`BuildError::PathNotText`];
/// [`CommonError::NotOurs`] for files of those names that no export wrote; [`BuildError::Common`].
pub fn export(dir: &Path, out: &Path, format: ExportFormat, paths: Paths) -> Result<Exported, BuildError> {
    let manifest = verify(dir)?;
    fs::create_dir_all(out)?;
    if real(dir)? == real(out)? {
        return Err(BuildError::Taken { dir: out.to_owned() });
    }
    let name = |audios: &[String]| -> Result<Vec<String>, BuildError> {
        audios.iter().map(|audio| named(dir, out, audio, paths)).collect()
    };
    let (written, left_out): (Vec<&str>, Vec<&str>) =
        TRAIN_FILES.into_iter().chain(VAL_FILES).partition(|&file| manifest.files.contains_key(file));
    let info = (format == ExportFormat::LlamaFactory)
        .then(|| read_info(&out.join(DATASET_INFO_FILE)))
        .transpose()?;
    let _lock = owned::claim(out, &written)?;
    for file in left_out {
        // Of an earlier export.
        if owned::is_owned(out, file)? {
            fs::remove_if_exists(&out.join(file))?;
        }
    }
    let mut exported = Exported::default();
    for file in written {
        let from = dir.join(file);
        let mut writer = JsonlWriter::create(&out.join(file))?;
        match file {
            SFT_FILE | SFT_VAL_FILE => {
                for row in JsonlReader::<SftRow>::open(&from)? {
                    let row = row?;
                    writer.put(&chat(&row, &name(&row.audios)?, format))?;
                }
            }
            DPO_FILE | DPO_VAL_FILE => {
                for row in JsonlReader::<DpoRow>::open(&from)? {
                    let row = row?;
                    writer.put(&pair(&row, &name(&row.audios)?, format))?;
                }
            }
            _ => {
                for row in JsonlReader::<CalibratedRow>::open(&from)? {
                    let row = row?;
                    writer.put(&calibrated(&row, &name(&row.audios)?, format))?;
                }
            }
        }
        exported.files.push((file.to_owned(), writer.rows()));
        writer.commit()?;
    }
    if let Some(mut info) = info {
        info.retain(|name, _| !INFO_NAMES.contains(&name.as_str()));
        info.extend(dataset_info(&exported));
        write_json(&out.join(DATASET_INFO_FILE), &info)?;
    }
    Ok(exported)
}

/// What `dataset_info.json` describes so far: it may list any number of other datasets.
fn read_info(path: &Path) -> Result<Map<String, Value>, CommonError> {
    match read_json(path) {
        Err(CommonError::NotFound { .. }) => Ok(Map::new()),
        read => read,
    }
}

fn real(path: &Path) -> Result<std::path::PathBuf, CommonError> {
    std::fs::canonicalize(path).map_err(CommonError::reading("read", path))
}

/// The path of a recording in the export.
fn named(dir: &Path, out: &Path, audio: &str, paths: Paths) -> Result<String, BuildError> {
    let path = dir.join(audio);
    match paths {
        Paths::Relative => relative_to(out, &path),
        Paths::Absolute => {
            let folder = real(path.parent().unwrap_or(dir))?;
            let path = folder.join(path.file_name().unwrap_or_default());
            path.into_os_string().into_string().map_err(|path| BuildError::PathNotText { path: path.into() })
        }
    }
}

/// A chat. ms-swift and LLaMA-Factory read the same keys; our `label` would be a class number to ms-swift.
fn chat(row: &SftRow, audios: &[String], format: ExportFormat) -> Value {
    match (format, row.messages.split_last()) {
        (ExportFormat::Trl, Some((answer, prompt))) => {
            json!({ "prompt": prompt, "completion": [answer], "audios": audios })
        }
        _ => json!({ "messages": row.messages, "audios": audios }),
    }
}

/// A preference pair.
fn pair(row: &DpoRow, audios: &[String], format: ExportFormat) -> Value {
    let last = |messages: &[Message]| messages.last().map(Message::tagged).unwrap_or_default();
    match format {
        ExportFormat::MsSwift => {
            let messages: Vec<&Message> = row.prompt.iter().chain(&row.chosen).collect();
            json!({ "messages": messages, "rejected_response": last(&row.rejected), "audios": audios })
        }
        ExportFormat::LlamaFactory => json!({
            "messages": row.prompt,
            "chosen": row.chosen.last(),
            "rejected": row.rejected.last(),
            "audios": audios,
        }),
        ExportFormat::Trl => {
            json!({ "prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected, "audios": audios })
        }
    }
}

/// A chat that ends with the model's own answer, the refusal and the error rate next to it: columns that the programs
/// keep but do not train on.
fn calibrated(row: &CalibratedRow, audios: &[String], format: ExportFormat) -> Value {
    let refusal = row.refusal.last().map(Message::tagged).unwrap_or_default();
    match format {
        ExportFormat::Trl => json!({
            "prompt": row.prompt,
            "completion": row.own,
            "refusal": refusal,
            "error_rate": row.error_rate,
            "audios": audios,
        }),
        ExportFormat::MsSwift | ExportFormat::LlamaFactory => {
            let messages: Vec<&Message> = row.prompt.iter().chain(&row.own).collect();
            json!({
                "messages": messages,
                "refusal": refusal,
                "error_rate": row.error_rate,
                "audios": audios,
            })
        }
    }
}

/// One entry per file, under [`INFO_NAMES`].
fn dataset_info(exported: &Exported) -> Map<String, Value> {
    let tags = json!({
        "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
        "system_tag": "system",
    });
    let entry = |(file, _): &(String, usize)| {
        let mut columns = json!({ "messages": "messages", "audios": "audios" });
        let pairs = file == DPO_FILE || file == DPO_VAL_FILE;
        if pairs {
            columns["chosen"] = "chosen".into();
            columns["rejected"] = "rejected".into();
        }
        let name = format!("idk_{}", file.trim_end_matches(".jsonl").replace('-', "_"));
        let mut entry = json!({ "file_name": file, "formatting": "sharegpt" });
        if pairs {
            entry["ranking"] = true.into();
        }
        entry["columns"] = columns;
        entry["tags"] = tags.clone();
        (name, entry)
    };
    exported.files.iter().map(entry).collect()
}
