//! The verbs of `idk-build` on a sampled dataset: relabel, inspect, export. No model is loaded.

use std::path::{Path, PathBuf};

use clap::Args;
use idk_common::lock::RunLock;
use idk_common::text::display_path;
use idk_common::{CommonError, RunDir, fs, owned};
use idk_dataset_builder::{
    BuildConfig, BuildError, DATASET_FILES, ExportFormat, MANIFEST_FILE, Paths, Sampled, export, inspect,
    read_manifest, relabel, relabel_to,
};
use serde_json::json;

use crate::command::args::{one_of, whole_number};
use crate::recipe::Recipe;
use crate::run::RunError;
use crate::stage::dataset::describe;
use crate::terminal::{Failure, print_result, say};

#[derive(Args)]
pub(super) struct RelabelArguments {
    /// Run folder, or a dataset folder
    run: PathBuf,
    /// Right answers among the N samples that make a question known
    #[arg(long, value_parser = whole_number::<usize>)]
    k: Option<usize>,
    /// Set a labelling key, e.g. `--set build.max_idk_share=0.5`; repeatable
    #[arg(long = "set", value_name = "BUILD.KEY=VALUE")]
    set: Vec<String>,
    /// Write a new run (or dataset) folder and leave this one unchanged
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct InspectArguments {
    /// Run folder, or a dataset folder
    run: PathBuf,
}

#[derive(Args)]
pub(super) struct ExportArguments {
    /// Run folder, or a dataset folder
    run: PathBuf,
    /// Trainer that will read the files
    #[arg(long, value_parser = one_of([
        ("ms-swift", ExportFormat::MsSwift), ("llama-factory", ExportFormat::LlamaFactory), ("trl", ExportFormat::Trl),
    ]))]
    format: ExportFormat,
    /// Folder for the files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How recordings are named [default: relative for llama-factory, else absolute]
    #[arg(long, value_parser = one_of([("relative", Paths::Relative), ("absolute", Paths::Absolute)]))]
    paths: Option<Paths>,
}

/// A dataset on the disk, and the run that it belongs to, if any.
struct DatasetPlace {
    dataset: PathBuf,
    run: Option<PathBuf>,
}

impl DatasetPlace {
    /// `path` is a run folder, its dataset folder, or a dataset folder of its own.
    fn find(path: &Path) -> Result<Self, Failure> {
        let holds_dataset = |dir: &Path| Sampled::is_in(dir) || dir.join(MANIFEST_FILE).is_file();
        let below = RunDir::new(path).dataset();
        if holds_dataset(&below) {
            return Ok(Self { dataset: below, run: Some(path.to_owned()) });
        }
        if !path.exists() {
            return Err(CommonError::NotFound { path: path.to_owned() }.into());
        }
        if !holds_dataset(path) {
            return Err(BuildError::NotSampled { dir: path.to_owned() }.into());
        }
        let real = std::fs::canonicalize(path).map_err(CommonError::reading("read", path))?;
        let run = RunDir::of_dataset(&real).map(|run| run.root);
        Ok(Self { dataset: path.to_owned(), run })
    }

    /// The folder that a command holds while it works: the run's, or the dataset's own.
    fn root(&self) -> &Path {
        self.run.as_deref().unwrap_or(&self.dataset)
    }
}

impl RelabelArguments {
    /// Other labels for the samples that are there, in place or in `--out`.
    ///
    /// # Errors
    /// A key that does not belong to labelling or a value that cannot be used, before anything changes; a folder without
    /// samples; a K that the samples do not decide; files that cannot be read or written.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let place = DatasetPlace::find(&self.run)?;
        let _lock = RunLock::acquire(place.root())?;
        let sampled = Sampled::read(&place.dataset)?;
        let mut overrides = self.set.clone();
        overrides.extend(self.k.map(|k| format!("build.k={k}")));
        let config = relabelled(&sampled.config, &overrides)?;
        let (dataset, _out_lock) = match &self.out {
            None => {
                relabel_in_place(&place, &config)?;
                (place.dataset, None)
            }
            Some(out) => {
                let lock = match &place.run {
                    Some(_) => RunDir::new(out).claim()?,
                    None => owned::claim(out, &DATASET_FILES)?,
                };
                (relabel_elsewhere(&place, out, &config)?, Some(lock))
            }
        };
        let manifest = read_manifest(&dataset)?;
        Ok(print_result(json, &manifest, || describe(&manifest, &dataset))?)
    }
}

fn relabel_in_place(place: &DatasetPlace, config: &BuildConfig) -> Result<(), Failure> {
    let recipe = place.run.as_deref().map(|run| new_recipe(run, config, None)).transpose()?.flatten();
    relabel(&place.dataset, config, || match &recipe {
        Some((path, text)) => fs::write_atomic(path, text.as_bytes()),
        None => Ok(()),
    })?;
    if let Some(run) = &place.run
        && RunDir::new(run).checkpoints().is_dir()
    {
        say(&format!(
            "note: the checkpoints in `{}` were trained on the labels before; idk-train will not mix the two",
            run.display()
        ));
    }
    Ok(())
}

/// A run gives a run, with a recipe of its own; a dataset gives a dataset.
fn relabel_elsewhere(place: &DatasetPlace, out: &Path, config: &BuildConfig) -> Result<PathBuf, Failure> {
    let Some(run) = place.run.as_deref() else {
        relabel_to(&place.dataset, out, config)?;
        return Ok(out.to_owned());
    };
    let recipe = new_recipe(run, config, Some(out))?;
    let dataset = RunDir::new(out).dataset();
    relabel_to(&place.dataset, &dataset, config)?;
    if let Some((path, text)) = recipe {
        let identity = RunDir::new(run).identity();
        if identity.is_file() {
            fs::write_atomic(&RunDir::new(out).identity(), &fs::read(&identity)?)?;
        }
        fs::write_atomic(&path, text.as_bytes())?;
    }
    Ok(dataset)
}

/// `recipe.toml` of a run with other labels, and where it goes; `None` if the run has none.
fn new_recipe(
    run: &Path,
    config: &BuildConfig,
    out: Option<&Path>,
) -> Result<Option<(PathBuf, String)>, Failure> {
    let path = RunDir::new(run).recipe();
    if !path.is_file() {
        return Ok(None);
    }
    let mut recipe = Recipe::load(&path, &[])?;
    // Where the server is stands in the recipe alone.
    recipe.build = recipe.build.labelled_as(config);
    if let Some(out) = out {
        out.clone_into(&mut recipe.output.dir);
    }
    let head: Vec<String> = fs::read_to_string(&path)?
        .lines()
        .take_while(|line| line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let text = format!("{}\n\n{}", head.join("\n"), recipe.to_toml()?);
    Ok(Some((RunDir::new(out.unwrap_or(run)).recipe(), text)))
}

/// The settings of a dataset with `--set build.key=value` applied; only labelling keys may be set.
fn relabelled(before: &BuildConfig, overrides: &[String]) -> Result<BuildConfig, Failure> {
    let known = json!(before);
    for assignment in overrides {
        let dotted = assignment.split('=').next().unwrap_or_default().trim();
        let Some(key) = dotted.strip_prefix("build.") else {
            let what = format!("`--set {assignment}`: labelling has keys of [build] only, as in `build.k=3`");
            return Err(RunError::Usage { what }.into());
        };
        if !BuildConfig::LABELLING_KEYS.contains(&key) && known.get(key).is_some() {
            return Err(BuildError::SamplingKey { key: format!("build.{key}") }.into());
        }
    }
    // Only what labelling reads is checked: a dataset does not say where its server was.
    let labels = BuildConfig { n_samples: before.n_samples, ..BuildConfig::default() }.labelled_as(before);
    let recipe = Recipe { build: labels, ..Recipe::default() };
    let recipe = Recipe::parse(&recipe.to_toml()?, Path::new("(the dataset's settings)"), overrides)?;
    Ok(before.labelled_as(&recipe.build))
}

impl InspectArguments {
    /// Prints what is in a dataset.
    ///
    /// # Errors
    /// A folder without a complete dataset; files that cannot be read.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let found = inspect(&DatasetPlace::find(&self.run)?.dataset)?;
        Ok(print_result(json, &found, || found.text().trim_end().to_owned())?)
    }
}

impl ExportArguments {
    /// Writes the rows for another trainer.
    ///
    /// # Errors
    /// A dataset that is incomplete or damaged; files that cannot be written.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let dataset = DatasetPlace::find(&self.run)?.dataset;
        let paths = self.paths.unwrap_or(self.format.default_paths());
        for (file, rows) in &export(&dataset, &self.out, self.format, paths)?.files {
            let path = self.out.join(file);
            let row = json!({ "file": path.display().to_string(), "rows": rows });
            print_result(json, &row, || format!("{}  {rows} rows", display_path(&path)))?;
        }
        Ok(())
    }
}
