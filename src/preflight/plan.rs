//! `idk-train RECIPE --dry-run`: what a run would do, and which stages are already done.

use idk_common::RunDir;
use idk_common::text::terminal_safe;
use idk_dataset_builder::{DatasetManifest, MANIFEST_FILE, Sampled, partial_sampling, read_manifest};
use idk_trainer::{RowKind, load_newest};
use serde::Serialize;

use super::check::{Checked, DeviceUse, Look};
use super::memory::{MemoryPlan, memory};
use super::preview::{Preview, mean};
use crate::recipe::Recipe;
use crate::run::rows::{most_rows, row_count};
use crate::terminal::{Failure, grouped, print_line};

/// Rows that are shown as they will be learnt.
const SHOWN_ROWS: usize = 3;

/// A stage of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Stage {
    name: &'static str,
    /// `done`, `begun` or `to do`.
    state: &'static str,
    what: String,
}

/// What the training would be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Training {
    /// Rows of an epoch; an upper bound while the dataset is not there.
    rows: Option<u64>,
    /// Whether `rows` and `steps` are exact.
    exact: bool,
    steps: Option<u64>,
    rows_per_step: usize,
    /// Of the rows that were looked at.
    mean_tokens_per_row: Option<f64>,
    longest_row_tokens: Option<usize>,
    /// A step of rows of mean length.
    tokens_per_step: Option<f64>,
    trained_parameters: Option<u64>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Plan {
    stages: Vec<Stage>,
    training: Training,
    memory_bytes: MemoryPlan,
    #[serde(skip)]
    shown: Vec<String>,
}

/// `--dry-run`: checks everything, then says what would be done. Writes nothing.
///
/// # Errors
/// As [`check::run`](super::check::run); checkpoints or dataset rows that cannot be read.
pub(crate) fn run(recipe: &Recipe, allowed: &[String], json: bool) -> Result<(), Failure> {
    let checked = Checked::of(recipe, allowed, Look::Quick, DeviceUse::Later);
    if !json {
        checked.print_facts()?;
    }
    checked.or_problems()?;
    let plan = Plan::of(recipe, &checked)?;
    if json {
        let found = serde_json::json!({ "checked": checked.facts, "problems": [], "plan": plan });
        return Ok(print_line(&found.to_string())?);
    }
    Ok(print_line(plan.to_text(recipe).trim_end())?)
}

impl Plan {
    fn of(recipe: &Recipe, checked: &Checked) -> Result<Self, Failure> {
        let dir = RunDir::new(&recipe.output.dir);
        let dataset = dir.dataset();
        let manifest =
            if dataset.join(MANIFEST_FILE).is_file() { Some(read_manifest(&dataset)?) } else { None };
        let (rows, exact) = rows(recipe, checked, manifest.as_ref());
        let steps = match recipe.train.max_steps {
            Some(steps) => Some(steps),
            None => rows.map(|rows| recipe.train.total_steps(rows as usize)),
        };
        let outline = checked.outline.as_ref();
        let preview = match outline {
            Some(outline) => {
                let dataset = manifest.as_ref().map(|_| dataset.as_path());
                Preview::of(recipe, outline, dataset, checked.train.as_ref(), SHOWN_ROWS)?
            }
            None => Preview::default(),
        };
        let adapted = match outline {
            Some(outline) => Some(outline.adapted(&recipe.lora)?),
            None => None,
        };
        let rows_per_step = recipe.train.rows_per_step();
        let looked = !preview.tokens.is_empty();
        let training = Training {
            rows,
            exact,
            steps,
            rows_per_step,
            mean_tokens_per_row: looked.then(|| mean(&preview.tokens)),
            longest_row_tokens: preview.tokens.iter().copied().max(),
            tokens_per_step: looked.then(|| mean(&preview.tokens) * rows_per_step as f64),
            trained_parameters: adapted.as_ref().map(|adapted| adapted.values().sum()),
        };
        let memory_bytes = memory(recipe, outline, &preview)?;
        let stages = stages(recipe, &dir, checked, manifest.as_ref(), training.steps)?;
        Ok(Self { stages, training, memory_bytes, shown: preview.shown })
    }

    fn to_text(&self, recipe: &Recipe) -> String {
        let mut lines = Vec::new();
        if let Some(transfer) = &recipe.transfer {
            let cells = transfer.train.len() * transfer.seeds.len();
            lines.push(format!("cells     {cells} runs, each much as what follows"));
        }
        if let Some(sweep) = recipe.sweep.as_ref().filter(|sweep| !sweep.k.is_empty()) {
            lines.push(format!("cells     {} runs, each much as what follows", sweep.k.len()));
        }
        lines.push(String::new());
        for stage in &self.stages {
            lines.push(format!("{:<9} {:<6} {}", stage.name, stage.state, terminal_safe(&stage.what)));
        }
        lines.push(String::new());
        lines.extend(self.training.lines());
        lines.extend(self.memory_bytes.lines());
        let what = if recipe.method().rows() == RowKind::Question {
            "what will be rewarded"
        } else {
            "what is learnt"
        };
        for row in &self.shown {
            lines.push(format!("\na row; {what} stands between >>> and <<<\n{row}"));
        }
        lines.push("\nnothing was written".to_owned());
        lines.join("\n")
    }
}

impl Training {
    fn lines(&self) -> Vec<String> {
        let most = if self.exact { "" } else { "at most " };
        let number = |value: Option<u64>| value.map_or("unknown".to_owned(), grouped);
        let mut lines = Vec::new();
        if self.rows.is_some() {
            lines.push(format!("rows      {most}{}, {} a step", number(self.rows), self.rows_per_step));
        }
        lines.push(format!("steps     {most}{}", number(self.steps)));
        if let (Some(mean), Some(longest), Some(step)) =
            (self.mean_tokens_per_row, self.longest_row_tokens, self.tokens_per_step)
        {
            lines.push(format!(
                "tokens    about {step:.0} a step; a row has {mean:.0}, the longest seen {longest}"
            ));
        }
        lines.push(format!("trained   {} parameters", number(self.trained_parameters)));
        lines
    }
}

/// Rows of an epoch, and whether that is exact.
fn rows(recipe: &Recipe, checked: &Checked, manifest: Option<&DatasetManifest>) -> (Option<u64>, bool) {
    let counts = manifest.map(|manifest| &manifest.counts);
    let questions = checked.train.as_ref().map(|summary| summary.questions as u64);
    match counts {
        Some(counts) => (Some(row_count(recipe, counts) as u64), true),
        None => (questions.map(|questions| most_rows(recipe, questions)), false),
    }
}

fn stages(
    recipe: &Recipe,
    dir: &RunDir,
    checked: &Checked,
    manifest: Option<&DatasetManifest>,
    steps: Option<u64>,
) -> Result<Vec<Stage>, Failure> {
    let dataset = dataset_stage(recipe, dir, checked, manifest);
    let trained = training_stage(recipe, dir, steps)?;
    let answers = evaluation_stage(recipe, dir, checked, trained.state == "done");
    Ok(vec![dataset, trained, answers])
}

fn dataset_stage(
    recipe: &Recipe,
    dir: &RunDir,
    checked: &Checked,
    manifest: Option<&DatasetManifest>,
) -> Stage {
    let build = &recipe.build;
    if let Some(manifest) = manifest {
        let counts = &manifest.counts;
        let what =
            format!("{} known, {} unknown at {}@{}", counts.known, counts.unknown, build.k, build.n_samples);
        return Stage { name: "dataset", state: "done", what };
    }
    let questions = checked.train.as_ref().map_or(0, |summary| summary.questions as u64);
    let what = format!(
        "{} questions x {} samples, labelled {}@{}",
        grouped(questions),
        build.n_samples,
        build.k,
        build.n_samples
    );
    let dataset = dir.dataset();
    if Sampled::is_in(&dataset) {
        return Stage {
            name: "dataset",
            state: "begun",
            what: format!("{what}: sampled, only labels are left"),
        };
    }
    match partial_sampling(&dataset) {
        Ok(Some(_)) => Stage { name: "dataset", state: "begun", what },
        _ => Stage { name: "dataset", state: "to do", what },
    }
}

fn training_stage(recipe: &Recipe, dir: &RunDir, steps: Option<u64>) -> Result<Stage, Failure> {
    let method = format!("LoRA, {}", recipe.train.method.describe().name);
    let total = steps.map_or("an unknown number of".to_owned(), grouped);
    let Some(found) = load_newest(dir)? else {
        return Ok(Stage { name: "training", state: "to do", what: format!("{method}: {total} steps") });
    };
    let done = found.state.step;
    let over = steps.is_some_and(|steps| done >= steps) || found.state.selection.ended.is_some();
    let what = format!("{method}: {} of {total} steps", grouped(done));
    Ok(Stage { name: "training", state: if over { "done" } else { "begun" }, what })
}

fn evaluation_stage(recipe: &Recipe, dir: &RunDir, checked: &Checked, adapter_is_done: bool) -> Stage {
    let methods: Vec<&str> = recipe.eval.methods.iter().map(|method| method.name()).collect();
    let questions = checked.test.as_ref().map_or(0, |summary| summary.questions as u64);
    let what = format!("base, {} on {} questions", methods.join(", "), grouped(questions));
    let done = adapter_is_done && idk_evaluator::results_file(&dir.eval()).is_file();
    Stage { name: "answers", state: if done { "done" } else { "to do" }, what }
}
