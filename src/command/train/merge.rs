//! `idk-train merge`: a run's adapter and its base model as one Hugging Face folder.

use std::path::{Path, PathBuf};

use clap::Args;
use idk_common::RunDir;
use idk_common::hash::sha256_file;
use idk_common::json::read_json;
use idk_common::paths::find;
use idk_common::text::{display_path, markdown, quoted};
use idk_model::{Merge, Merged, StoredDtype};
use serde_json::{Value, json};

use crate::recipe::Recipe;
use crate::run::same_run::model_of_run;
use crate::run::{RunError, folder_name, model_sha256};
use crate::terminal::{Failure, print_result, progress, say};

const ADAPTER_CONFIG: &str = "adapter_config.json";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// Options of `idk-train merge`.
#[derive(Args, Clone, Debug)]
pub(super) struct MergeArguments {
    /// Run folder, or an adapter folder
    run: PathBuf,
    /// Folder of the merged model; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of the base model [default: the one that the adapter names, or that its run used]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Maximum size of a weight file, such as 5GB or 500MB
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = parse_size)]
    shard_size: u64,
    /// Type of all weights: f32, bf16 or f16 [default: the types of the base]
    #[arg(long, value_name = "TYPE")]
    dtype: Option<StoredDtype>,
}

impl MergeArguments {
    /// Merges and prints what was written, as one JSON object if `json`.
    ///
    /// # Errors
    /// An adapter or base that is missing or does not fit, an output folder that is not empty, a failed write; the
    /// output folder is then as it was.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let adapter = self.adapter();
        let config: Value = read_json(&adapter.join(ADAPTER_CONFIG))?;
        let base = self.base(&adapter, &config)?;
        let merge = Merge::open(&base, &adapter, self.dtype)?;
        self.check_base(&adapter, &base)?;
        let readme = readme(&adapter, &base)?;
        let bar = progress("merge (MiB)", mebibytes(merge.bytes()));
        let (mut bytes, mut shown) = (0, 0);
        let mut advanced = |more: u64| {
            bytes += more;
            bar.inc(mebibytes(bytes) - shown);
            shown = mebibytes(bytes);
        };
        let merged = merge.write(&self.out, self.shard_size, &readme, &mut advanced)?;
        bar.finish();
        self.print(merged, &adapter, &base, json)
    }

    /// The run's adapter, or the folder itself.
    fn adapter(&self) -> PathBuf {
        if self.run.join(ADAPTER_CONFIG).is_file() {
            self.run.clone()
        } else {
            RunDir::new(&self.run).adapter()
        }
    }

    fn base(&self, adapter: &Path, config: &Value) -> Result<PathBuf, RunError> {
        if let Some(base) = &self.base {
            return Ok(base.clone());
        }
        // An adapter names a model, but not where it lies; its run does.
        let recipe = adapter.parent().map(|run| RunDir::new(run).recipe()).filter(|path| path.is_file());
        let of_run = recipe.and_then(|path| Recipe::load(&path, &[]).ok()).map(|recipe| recipe.model.path);
        let named = config["base_model_name_or_path"].as_str().filter(|name| !name.is_empty());
        let named_dir = named.map(|named| find(Path::new(named), Some(adapter)));
        let found = named_dir.into_iter().chain(of_run).find(|path| path.is_dir());
        found.ok_or_else(|| RunError::NoBase { adapter: adapter.to_owned(), named: named.map(str::to_owned) })
    }

    /// Compares the base with the one that the run was trained on, where the run has noted it.
    fn check_base(&self, adapter: &Path, base: &Path) -> Result<(), Failure> {
        let run = adapter.parent().map(RunDir::new);
        let noted = match run.map(|run| model_of_run(&run)).transpose() {
            // Whoever names the base knows it.
            Err(failure) if self.base.is_some() => {
                say(&format!("warning: {failure}"));
                return Ok(());
            }
            noted => noted?.flatten(),
        };
        let Some(expected) = noted else { return Ok(()) };
        let found = model_sha256(base)?;
        if found == expected {
            return Ok(());
        }
        let other = RunError::OtherBase { base: base.to_owned(), found, expected };
        if self.base.is_none() {
            return Err(other.into());
        }
        say(&format!("warning: {other}"));
        Ok(())
    }

    fn print(&self, merged: Merged, adapter: &Path, base: &Path, json: bool) -> Result<(), Failure> {
        let Merged { tensors, changed, shards, bytes } = merged;
        let out = self.out.display().to_string();
        let (adapter, base) = (adapter.display().to_string(), base.display().to_string());
        let row = json!({
            "type": "merged", "out": out, "adapter": adapter, "base": base,
            "tensors": tensors, "changed": changed, "shards": shards, "bytes": bytes,
        });
        let shown = display_path(&self.out);
        let files = if shards == 1 { "1 file".to_owned() } else { format!("{shards} files") };
        let text =
            || format!("merged    {shown}: {changed} of {tensors} tensors changed, {bytes} bytes in {files}");
        Ok(print_result(json, &row, text)?)
    }
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// The card of the merged model: no place and no time, so that the same merge writes the same bytes.
fn readme(adapter: &Path, base: &Path) -> Result<String, Failure> {
    let base = folder_name(base);
    let sha256 = sha256_file(&adapter.join(ADAPTER_WEIGHTS))?;
    // A folder may have any name.
    let (quoted, base) = (quoted(&base), markdown(&base));
    Ok(format!(
        "---\nbase_model: {quoted}\nlibrary_name: transformers\n---\n# {base} with an adapter merged in\n\n\
         A LoRA adapter (sha256 {sha256}), folded into the weights of {base} by `idk-train merge`. Tokenizer and settings are\n\
         those of the base model; so is its licence.\n"
    ))
}

/// A number of bytes with its unit: `5GB`, `500MB`, `1.5GiB`, or bare bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write 5GB, 500MB or a number of bytes");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: f64 = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 1.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KIB" => 1024.0,
        "MIB" => 1_048_576.0,
        "GIB" => 1_073_741_824.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number * factor;
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in
            [("5GB", 5_000_000_000), ("500mb", 500_000_000), ("1.5GiB", 1_610_612_736), ("4096", 4096)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "0", "GB", "-1GB", "5XB", "1e30GB", "NaN"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
