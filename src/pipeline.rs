//! The stages of a run and their hand-offs: questions -> dataset -> adapter -> answers -> report.
//!
//! A stage whose output is complete and was made from the same inputs is kept; see docs/decisions/0003.

use std::path::{Path, PathBuf};

use idk_common::RunDir;
use idk_common::lock::RunLock;
use idk_common::text::display_path;
use idk_dataset_builder::{
    BuildError, BuildInputs, Control, DatasetManifest, Provenance, Sampled, read_manifest, verify,
};
use idk_evaluator::Results;
use idk_model::{Adapters, Lalm};
use idk_trainer::TrainReport;

use crate::cli::{RecipeArgs, print_line, say};
use crate::error::{Failure, RunError};
use crate::model_card::{CARD_FILE, Card};
use crate::recipe::Recipe;
use crate::same_run::{check_dataset, check_same_run, write_identity};
use crate::sources::{self, Loaded, Set};
use crate::start_adapter;
use crate::stop::{StopSignals, stopping_sampling};
use crate::summary::summary;
use crate::terminal;

/// How a program was asked to run, apart from its recipe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Move an earlier run aside first.
    pub fresh: bool,
    /// Print JSON on stdout instead of text.
    pub json: bool,
    /// Keys of the recipe that a run may go on with another value of.
    pub allow_changes: &'a [String],
}

/// A run that is open: its folder is locked and its model loaded.
pub(crate) struct Run<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) dir: RunDir,
    pub(crate) lalm: Lalm,
    pub(crate) model_sha256: String,
    /// Where rendered splits of the bank lie.
    pub(crate) questions: PathBuf,
    /// Keys of the recipe that it may go on with another value of.
    pub(crate) allow_changes: &'a [String],
    _lock: RunLock,
}

/// Refuses a command line without a recipe.
///
/// # Errors
/// [`RunError::Usage`].
pub fn require_recipe(arguments: &RecipeArgs) -> Result<(), RunError> {
    if arguments.recipe.is_some() {
        return Ok(());
    }
    Err(RunError::Usage { what: "no recipe given; try `recipes/sound.toml`".to_owned() })
}

/// `idk-build RECIPE`: questions to dataset.
///
/// # Errors
/// Whatever stops a stage; what was written before stays.
pub fn build(recipe: &Recipe, options: &Options<'_>) -> Result<(), Failure> {
    let run = Run::open(recipe, options)?;
    print_dataset(&run, options)
}

/// Builds what is missing of the dataset and prints its counts.
pub(crate) fn print_dataset(run: &Run<'_>, options: &Options<'_>) -> Result<(), Failure> {
    let manifest = run.dataset()?;
    if options.json {
        print_line(&serde_json::to_string(&manifest).unwrap_or_default())?;
    } else {
        print_line(&describe(&manifest, &run.dir.dataset()))?;
    }
    Ok(())
}

/// Loads the base model as the recipe says, with a GPU's kernels from its cache.
pub(crate) fn load_model(recipe: &Recipe) -> Result<Lalm, Failure> {
    crate::kernels::open_cache(&recipe.model);
    let device = idk_model::device(&recipe.model.device)?;
    let lalm = Lalm::load_with(&recipe.model.path, &device, recipe.run_settings())?;
    if recipe.model.device != "cpu" {
        let dtype = if lalm.is_bf16() { "bf16" } else { "f32" };
        say(&format!("device    {}, weights in {dtype}", recipe.model.device));
    }
    Ok(lalm)
}

/// What stored answers and samples note of where they were computed: the device, and the type of the weights unless it
/// is float32.
pub(crate) fn device_of_answers(recipe: &Recipe, lalm: &Lalm) -> String {
    let device = &recipe.model.device;
    if lalm.is_bf16() { format!("{device} bf16") } else { device.clone() }
}

/// `idk-train RECIPE`: questions to report.
///
/// # Errors
/// Whatever stops a stage; what was written before stays, and the same command goes on from there.
pub fn train(recipe: &Recipe, options: &Options<'_>) -> Result<(), Failure> {
    if recipe.base.is_some() {
        return crate::base_run::train_base(recipe, options);
    }
    if let Some(transfer) = &recipe.transfer {
        return crate::transfer::run(recipe, transfer, options);
    }
    if let Some(sweep) = recipe.sweep.as_ref().filter(|sweep| !sweep.k.is_empty()) {
        return crate::k_sweep::run(recipe, sweep, options);
    }
    let run = Run::open(recipe, options)?;
    let (dataset, report) = run.dataset_and_adapter()?;
    let results = crate::evaluation::evaluate_run(&run, &run.dir.adapter(), options.json)?;
    run.write_card(&dataset, &report, Some(&results))?;
    say(&summary(recipe, &run.dir, &report, &results));
    Ok(())
}

/// One run of an experiment of several: as [`train`], but its clips are rendered into `questions` and nothing is printed
/// on stdout.
pub(crate) fn train_cell(
    recipe: &Recipe,
    questions: &Path,
    options: &Options<'_>,
) -> Result<Results, Failure> {
    let mut run = Run::open(recipe, &Options { fresh: false, ..*options })?;
    run.questions = questions.to_owned();
    let (dataset, report) = run.dataset_and_adapter()?;
    let results = crate::evaluation::results_of_run(&run, &run.dir.adapter())?;
    run.write_card(&dataset, &report, Some(&results))?;
    Ok(results)
}

impl<'a> Run<'a> {
    fn dataset_and_adapter(&self) -> Result<(DatasetManifest, TrainReport), Failure> {
        let manifest = self.dataset()?;
        say(&describe(&manifest, &self.dir.dataset()));
        let report = crate::training::train_adapter(self)?;
        idk_evaluator::write_curves(&self.dir.root, &self.dir.curves())?;
        // What is measured on an adapter that was there before stays on its card.
        let has_new_steps = report.resumed_from.is_none_or(|step| step < report.steps);
        if has_new_steps || !self.dir.adapter().join(CARD_FILE).is_file() {
            self.write_card(&manifest, &report, None)?;
        }
        Ok((manifest, report))
    }

    /// Writes the card of the run's adapter, with what was measured on it if that is known.
    fn write_card(
        &self,
        dataset: &DatasetManifest,
        report: &TrainReport,
        results: Option<&Results>,
    ) -> Result<(), Failure> {
        let steps = report.best.map_or(report.steps, |best| best.step);
        let found = idk_trainer::checkpoint::load_newest(&self.dir)?;
        let mut changes = found.map(|found| found.state.allowed_changes).unwrap_or_default();
        // Of an earlier best step's adapter later changes say nothing.
        changes.retain(|change| change.step < steps);
        Card { recipe: self.recipe, dataset, steps, changes: &changes, results }.write(&self.dir.adapter())
    }

    /// Locks the run folder, loads the model and writes `identity.json` and `recipe.toml`.
    pub(crate) fn open(recipe: &'a Recipe, options: &Options<'a>) -> Result<Self, Failure> {
        Self::open_in(recipe, &recipe.output.dir, options)
    }

    /// The same for another folder than the recipe's.
    pub(crate) fn open_in(recipe: &'a Recipe, root: &Path, options: &Options<'a>) -> Result<Self, Failure> {
        // Model and sources are looked at before anything is written: a wrong path leaves no folder behind.
        sources::check(&recipe.data, &[Set::Train, Set::Val, Set::Test])?;
        crate::evaluation::check_inputs(recipe)?;
        start_adapter::check_files(recipe)?;
        let lalm = load_model(recipe)?;
        let linears = lalm.config.linears();
        crate::training::check_feature_cache(recipe, &recipe.lora.adapted(&linears)?)?;
        start_adapter::check_shape(recipe, &linears, |dir| Adapters::load(dir, &lalm))?;
        let model_sha256 = sources::model_sha256(&recipe.model.path)?;
        if options.fresh {
            move_aside(root)?;
        }
        let lock = RunLock::acquire(root)?;
        let dir = RunDir::new(root);
        remove_temporaries(&dir)?;
        let questions = dir.questions();
        let allow_changes = options.allow_changes;
        check_same_run(recipe, &dir, &model_sha256, allow_changes)?;
        let run = Self { recipe, dir, lalm, model_sha256, questions, allow_changes, _lock: lock };
        run.write_recipe()?;
        Ok(run)
    }

    /// Writes `identity.json`, then `recipe.toml`.
    fn write_recipe(&self) -> Result<(), Failure> {
        write_identity(&self.dir, &self.model_sha256)?;
        let text = format!(
            "# The recipe of this run with every default filled in; it can be run again as it is.\n\n{}",
            self.recipe.to_toml()?
        );
        Ok(idk_common::fs::write_atomic(&self.dir.recipe(), text.as_bytes())?)
    }

    /// The training questions and where they come from.
    pub(crate) fn training_questions(&self) -> Result<(Loaded, Provenance), Failure> {
        let loaded = sources::load(
            &self.recipe.data,
            Set::Train,
            &self.questions,
            self.recipe.build.max_rejected_share,
        )?;
        let provenance = Provenance {
            model: sources::folder_name(&self.recipe.model.path),
            model_sha256: self.model_sha256.clone(),
            questions: sources::display_name(&self.recipe.data.train),
            questions_sha256: idk_common::hash::sha256_file(&loaded.path)?,
        };
        Ok((loaded, provenance))
    }

    /// The IDK dataset: kept if complete and of this recipe, else built.
    pub(crate) fn dataset(&self) -> Result<DatasetManifest, Failure> {
        let (loaded, provenance) = self.training_questions()?;
        let out = self.dir.dataset();
        if out.join(idk_dataset_builder::MANIFEST_FILE).is_file() {
            // Left where a build was killed in its last moment.
            idk_dataset_builder::remove_shards(&out)?;
            return self.kept_dataset(&out, &provenance);
        }
        if Sampled::is_in(&out) {
            let manifest = self.labelled_dataset(&out, &provenance)?;
            idk_dataset_builder::remove_shards(&out)?;
            return Ok(manifest);
        }
        self.sampling(&loaded, &provenance, |inputs, control| {
            idk_dataset_builder::build(inputs, &out, control)
        })?;
        Ok(read_manifest(&out)?)
    }

    /// Runs a job that samples; a signal lets it finish its shard.
    pub(crate) fn sampling<T>(
        &self,
        loaded: &Loaded,
        provenance: &Provenance,
        job: impl FnOnce(&BuildInputs<'_>, &Control<'_>) -> Result<T, BuildError>,
    ) -> Result<T, Failure> {
        let inputs = BuildInputs {
            lalm: &self.lalm,
            set: &loaded.set,
            config: &self.recipe.build,
            seed: self.recipe.seed,
            provenance,
        };
        let stop = StopSignals::watch();
        let warn = |line: &str| say(&format!("warning: {line}"));
        let control = Control { progress: terminal::progress, stop: Some(stop.flag()), warn: &warn };
        match stop.while_telling(stopping_sampling(&self.recipe.build), || job(&inputs, &control)) {
            Err(BuildError::Stopped { sampled, total }) => {
                Err(stop.sampling_stopped(&self.dir.root, sampled, total).into())
            }
            // It came too late to stop the sampling, but it must not be lost.
            Ok(_) if control.stopped() => {
                let total = loaded.set.questions.len();
                Err(stop.sampling_stopped(&self.dir.root, Some(total), total).into())
            }
            done => Ok(done?),
        }
    }

    fn kept_dataset(&self, out: &Path, provenance: &Provenance) -> Result<DatasetManifest, Failure> {
        let manifest = verify(out)?;
        let made = (&manifest.config, &manifest.provenance, manifest.seed);
        check_dataset(self.recipe, &self.dir, made, provenance)?;
        Ok(manifest)
    }

    /// The dataset of samples that are all there: only the labels are made.
    fn labelled_dataset(&self, out: &Path, provenance: &Provenance) -> Result<DatasetManifest, Failure> {
        let sampled = Sampled::read(out)?;
        let build = &self.recipe.build;
        let made = (&sampled.config.labelled_as(build), &sampled.provenance, sampled.seed);
        check_dataset(self.recipe, &self.dir, made, provenance)?;
        crate::labelling::finish_labels(out, build)?;
        Ok(read_manifest(out)?)
    }
}

/// Removes what killed writers left in the folders of a run.
fn remove_temporaries(dir: &RunDir) -> Result<(), Failure> {
    let folders = [dir.root.clone(), dir.dataset(), dir.checkpoints(), dir.logs(), dir.adapter(), dir.eval()];
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        idk_common::fs::remove_temporaries(folder)?;
    }
    Ok(())
}

pub(crate) fn describe(manifest: &DatasetManifest, dir: &Path) -> String {
    let counts = &manifest.counts;
    format!(
        "dataset   {}: {} questions, {} known, {} unknown at {}@{}; {} rejected",
        display_path(dir),
        counts.kept,
        counts.known,
        counts.unknown,
        manifest.config.k,
        manifest.config.n_samples,
        counts.rejected
    )
}

/// Renames a run folder to the first free `NAME.old-N`.
pub(crate) fn move_aside(root: &Path) -> Result<(), Failure> {
    if !root.exists() {
        return Ok(());
    }
    // Held while the folder moves, so that a run in progress is not pulled away.
    let _lock = RunLock::acquire(root)?;
    let name = |number: usize| root.with_file_name(format!("{}.old-{number}", sources::folder_name(root)));
    let target = (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
    std::fs::rename(root, &target).map_err(idk_common::CommonError::io("move aside", root))?;
    say(&format!("the earlier run is now in {}", target.display()));
    Ok(())
}
