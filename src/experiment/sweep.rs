//! Sweeps of a run: the adapter's scale and the confidence threshold on val, without training; which scale to take.

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::RunDir;
use idk_evaluator::{
    AccuracyFloor, EvalConfig, EvalError, Grid, GridKind, GridScore, GridSet, Method, NamedAdapter, Pick,
    Picked, Prepared, Subject, Sweeper, adapter_scale_steps, grid_table, pick, prepare,
};
use idk_model::{Adapters, check_adapter_files};
use idk_questions::metrics::{show_rgi, show_with};

use super::publish;
use crate::recipe::{DataSection, Recipe, SweepConfig};
use crate::run::questions::{self, Set, val_source};
use crate::run::same_run::check_model_of_run;
use crate::run::{BaseModel, Run, RunError, claim_run};
use crate::stage::answering::answering;
use crate::stage::evaluate::load_adapters;
use crate::terminal::{Failure, print_result, progress, say};

/// What `idk-eval sweep` was asked for, besides the recipe.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request {
    /// Answer the test set too.
    pub(crate) test: bool,
    /// Print JSON on stdout instead of tables.
    pub(crate) json: bool,
}

/// `idk-eval sweep`: the adapter's scale and the threshold of a finished run, on val and if asked on the test set.
///
/// # Errors
/// A run without an adapter; a recipe without val questions; whatever stops the answers, of which those that are there
/// are kept.
pub(crate) fn sweep(recipe: &Recipe, request: Request) -> Result<(), Failure> {
    let sets: &[Set] = if request.test { &[Set::Val, Set::Test] } else { &[Set::Val] };
    let run = SweptRun::open(recipe, sets)?;
    let config = recipe.sweep.clone().unwrap_or_default();
    let val = run.prepared(GridSet::Val)?;
    let test = if request.test { Some(run.prepared(GridSet::Test)?) } else { None };
    let scales = run.adapter_scales(&config, GridSet::Val, &val)?;
    let picked = match pick(&scales, AccuracyFloor::OfBase(config.min_accuracy))? {
        Pick::Best(picked) => Some(picked),
        Pick::None { why, .. } => {
            say(&format!("no adapter scale is picked: {why}"));
            None
        }
    };
    run.publish(&Grid { picked: picked.clone(), ..scales }, request.json)?;
    if let Some(test) = &test {
        let scales = run.adapter_scales(&config, GridSet::Test, test)?;
        run.publish(&Grid { picked, ..scales }, request.json)?;
    }
    if recipe.eval.answer_by.is_from_list() {
        run.offsets(&val, test.as_ref(), AccuracyFloor::OfBase(config.min_accuracy), request.json)?;
    }
    run.thresholds(&val, test.as_ref(), request.json)
}

/// What `idk-eval pick` was asked for, besides the recipe.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PickRequest<'a> {
    /// The least accuracy; without it `min_accuracy` of `[sweep]`.
    pub(crate) floor: Option<AccuracyFloor>,
    /// Folder for the adapter with the picked scale.
    pub(crate) write: Option<&'a Path>,
    /// Print JSON on stdout instead of text.
    pub(crate) json: bool,
}

/// `idk-eval pick`: the adapter's scale to take, by val alone. Answers of an earlier sweep are used again.
///
/// # Errors
/// As [`sweep`]; [`RunError::NothingPicked`] if an adapter is to be written and no scale helps; a folder that is taken.
pub(crate) fn pick_adapter_scale(recipe: &Recipe, request: &PickRequest<'_>) -> Result<(), Failure> {
    if let Some(dir) = request.write.filter(|dir| dir.exists()) {
        let what = format!("`{}` already exists: --write makes a new folder", dir.display());
        return Err(RunError::Usage { what }.into());
    }
    let run = SweptRun::open(recipe, &[Set::Val])?;
    let config = recipe.sweep.clone().unwrap_or_default();
    let sweep = run.adapter_scales(&config, GridSet::Val, &run.prepared(GridSet::Val)?)?;
    let floor = request.floor.unwrap_or(AccuracyFloor::OfBase(config.min_accuracy));
    let choice = pick(&sweep, floor)?;
    let picked = match &choice {
        Pick::Best(picked) => Some(picked.clone()),
        Pick::None { .. } => None,
    };
    let sweep = Grid { picked, ..sweep };
    sweep.write(&run.run.dir.root)?;
    print_result(request.json, &sweep, || advice(&sweep, &choice))?;
    match (choice, request.write) {
        (Pick::Best(picked), Some(dir)) => {
            write_adapter(&run.adapter.adapters, &picked, dir, &recipe.model.path)
        }
        (Pick::None { why, below_floor }, Some(_)) => {
            Err(RunError::NothingPicked { why, below_floor }.into())
        }
        (_, None) => Ok(()),
    }
}

/// The recommendation in words: what changes against the adapter as it was trained.
fn advice(sweep: &Grid, choice: &Pick) -> String {
    let picked = match choice {
        Pick::Best(picked) => picked,
        Pick::None { why, .. } => {
            return format!("{}\nNo adapter scale is recommended: {why}.", grid_table(sweep));
        }
    };
    let mut text = format!("{}\nadapter_scale {}: {}.", grid_table(sweep), picked.value, picked.why);
    if picked.value == 1.0 {
        text.push_str("\nThat is the adapter as it was trained: nothing changes.");
    } else if let (Some(now), Some(then)) = (sweep.at(1.0), sweep.at(picked.value)) {
        let percent = |value: fn(&GridScore) -> Option<f64>| {
            let shown = |point| show_with(value(point), |value| format!("{value:.1} %"));
            format!("{} -> {}", shown(now), shown(then))
        };
        let rgi = |point: &GridScore| show_rgi(point.rgi, None, point.rgi_reason.as_deref());
        text.push_str(&format!(
            "\nAgainst scale 1 on val: RGI {} -> {}, accuracy {}, refused {}.",
            rgi(now),
            rgi(then),
            percent(|point| point.acc),
            percent(|point| point.refusal_rate)
        ));
    }
    text
}

/// A finished run whose sweeps are made; its folder is locked.
pub(super) struct SweptRun<'a> {
    run: Run<'a>,
    adapter: NamedAdapter,
}

impl<'a> SweptRun<'a> {
    /// `sets`: those that will be answered.
    pub(super) fn open(recipe: &'a Recipe, sets: &[Set]) -> Result<Self, Failure> {
        let (data, _) = val_source(recipe)?;
        questions::check(&data, sets)?;
        let dir = RunDir::new(&recipe.output.dir);
        check_adapter_files(&dir.adapter())?;
        let (run, ()) = Run::open(recipe, &dir.root, claim_run, |model| {
            let labelled = dir.dataset().join(idk_dataset_builder::MANIFEST_FILE).is_file();
            if labelled { check_model_of_run(&dir, model.sha256()) } else { Ok(()) }
        })?;
        let named = (Method::Adapter.name().to_owned(), dir.adapter());
        let mut adapters = load_adapters(&[named], &run.model.folder()?.lalm)?;
        Ok(Self { run, adapter: adapters.remove(0) })
    }

    /// The questions of a set, ready to be answered. `limit` of [eval] is for the test set.
    pub(super) fn prepared(&self, set: GridSet) -> Result<Prepared, Failure> {
        let recipe = self.run.recipe;
        let (data, source) = match set {
            GridSet::Val => val_source(recipe)?,
            GridSet::Test => (recipe.data.clone(), Set::Test),
        };
        prepare_set(self.run.model.folder()?, recipe, &data, source, &self.run.questions)
    }

    pub(super) fn with_sweeper<T>(
        &self,
        job: impl FnOnce(&Sweeper<'_>) -> Result<T, EvalError>,
    ) -> Result<T, Failure> {
        let recipe = self.run.recipe;
        sweeping(self.run.model.folder()?, recipe, &self.run.dir.eval(), job)
    }

    fn adapter_scales(
        &self,
        config: &SweepConfig,
        set: GridSet,
        prepared: &Prepared,
    ) -> Result<Grid, Failure> {
        let steps = adapter_scale_steps(&self.adapter, &config.adapter_scale);
        self.with_sweeper(|sweeper| sweeper.adapters(GridKind::AdapterScale, &steps, set, prepared))
    }

    /// The thresholds come from val and are the same on the test set.
    fn thresholds(&self, val: &Prepared, test: Option<&Prepared>, json: bool) -> Result<(), Failure> {
        let grids = self.with_sweeper(|sweeper| {
            let Some(thresholds) = sweeper.thresholds(val)? else { return Ok(Vec::new()) };
            let sets = [(GridSet::Val, Some(val)), (GridSet::Test, test)].into_iter();
            let sets = sets.filter_map(|(set, prepared)| Some((set, prepared?)));
            sets.map(|(set, prepared)| sweeper.below(&thresholds, set, prepared)).collect()
        })?;
        if grids.is_empty() {
            say("no threshold sweep: the questions have no options");
        }
        grids.iter().try_for_each(|grid| self.publish(grid, json))
    }

    pub(super) fn adapter(&self) -> &NamedAdapter {
        &self.adapter
    }

    pub(super) fn root(&self) -> &Path {
        &self.run.dir.root
    }

    pub(super) fn publish(&self, sweep: &Grid, json: bool) -> Result<(), Failure> {
        publish(sweep, &self.run.dir.root, json)
    }
}

/// Writes the adapter with the picked scale.
fn write_adapter(adapters: &Adapters, picked: &Picked, dir: &Path, model: &Path) -> Result<(), Failure> {
    adapters.scaled(picked.value as f32).save(dir, &model.display().to_string())?;
    say(&format!("adapter   {} (scale x {})", dir.display(), picked.value));
    Ok(())
}

/// A subject without adapters, labels and val: all that a sweep needs.
fn bare_subject(model: &BaseModel) -> Subject<'_> {
    static NONE: BTreeMap<String, f64> = BTreeMap::new();
    static NO_NAMES: BTreeMap<String, String> = BTreeMap::new();
    Subject {
        backend: model.answerer().into(),
        model_sha256: &model.sha256,
        device: &model.device,
        adapters: &[],
        served_adapters: &[],
        known_share: &NONE,
        run_dir: None,
        val: None,
        samples: None,
        probe: None,
        provenance: &NO_NAMES,
        stop: None,
    }
}

/// Runs a job with the sweeper of a recipe, whose answers are stored in `eval_dir`; a signal can stop it.
///
/// # Errors
/// As [`answering`].
pub(super) fn sweeping<T>(
    model: &BaseModel,
    recipe: &Recipe,
    eval_dir: &Path,
    job: impl FnOnce(&Sweeper<'_>) -> Result<T, EvalError>,
) -> Result<T, Failure> {
    answering(eval_dir, |stop| {
        let subject = &Subject { stop: Some(stop), ..bare_subject(model) };
        job(&Sweeper { subject, config: &recipe.eval, seed: recipe.data.seed, eval_dir, progress })
    })
}

/// Loads a set of questions and its recordings. `limit` of [eval] is for the test set.
pub(super) fn prepare_set(
    model: &BaseModel,
    recipe: &Recipe,
    data: &DataSection,
    set: Set,
    questions_dir: &Path,
) -> Result<Prepared, Failure> {
    let build = &recipe.build;
    let limit = recipe.eval.limit.filter(|_| set == Set::Test);
    let config = EvalConfig { limit, ..recipe.eval.clone() };
    let loaded = questions::load(data, set, questions_dir, config.max_rejected_share)?;
    Ok(prepare(
        &model.answerer().into(),
        &loaded.set,
        &config,
        build.prompt,
        build.refusal_texts(),
        data.seed,
        progress,
    )?)
}

#[cfg(test)]
mod tests {
    use idk_model::Lalm;

    use super::*;

    #[test]
    fn a_written_adapter_has_the_picked_scale_in_its_lora_alpha_and_the_same_weights() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/qwen2-audio-tiny");
        let lalm = Lalm::load(&fixture, &idk_model::device("cpu").unwrap()).unwrap();
        let trained = Adapters::load(&fixture.join("lora_adapter"), &lalm).unwrap();
        let root = tempfile::tempdir().unwrap();
        let written = |value: f64| {
            let (dir, picked) = (root.path().join(value.to_string()), Picked { value, why: String::new() });
            write_adapter(&trained, &picked, &dir, Path::new("base")).unwrap();
            let config: serde_json::Value =
                idk_common::json::read_json(&dir.join("adapter_config.json")).unwrap();
            let weights = idk_common::fs::read(&dir.join("adapter_model.safetensors")).unwrap();
            (config["lora_alpha"].as_f64().unwrap(), weights, Adapters::load(&dir, &lalm).unwrap())
        };
        let (alpha, weights, same) = written(1.0);
        let (half_alpha, half_weights, half) = written(0.5);
        assert_eq!((half_alpha, half_weights), (alpha / 2.0, weights));
        for (name, pair) in &trained.modules {
            assert_eq!((same.modules[name].scale, half.modules[name].scale), (pair.scale, pair.scale / 2.0));
        }
    }
}
