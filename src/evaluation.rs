//! The evaluator's side of the programs: a run's test set, a question set of one's own, stored answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::progress::Progress;
use idk_evaluator::{
    Results, Subject, evaluate as evaluate_prepared, known_shares, prepare, results_file, tables,
};
use idk_model::{Adapters, Lalm};

use crate::cli::{print_line, say};
use crate::error::{Failure, RunError};
use crate::pipeline::Run;
use crate::recipe::Recipe;
use crate::sources::{self, Set};

/// What is answered, with which model, and where the results go.
struct Job<'a> {
    recipe: &'a Recipe,
    lalm: &'a Lalm,
    model_sha256: &'a str,
    adapter: Option<&'a Path>,
    dataset: Option<PathBuf>,
    questions_dir: PathBuf,
    eval_dir: PathBuf,
}

impl Job<'_> {
    fn run(&self) -> Result<Results, Failure> {
        let loaded = sources::load(
            &self.recipe.data,
            Set::Test,
            &self.questions_dir,
            self.recipe.eval.max_rejected_share,
        )?;
        let adapters = self.adapter.map(|dir| Adapters::load(dir, self.lalm)).transpose()?;
        let mut provenance = BTreeMap::from([
            ("model".to_owned(), sources::folder_name(&self.recipe.model.path)),
            ("model_sha256".to_owned(), self.model_sha256.to_owned()),
            ("questions".to_owned(), sources::display_name(&self.recipe.data.test)),
            ("questions_sha256".to_owned(), idk_common::hash::sha256_file(&loaded.path)?),
        ]);
        if let Some(dir) = self.adapter {
            let weights = dir.join("adapter_model.safetensors");
            provenance.insert("adapter_sha256".to_owned(), idk_common::hash::sha256_file(&weights)?);
        }
        let known_share = match &self.dataset {
            Some(dir) => known_shares(&idk_dataset_builder::read_labels(dir)?),
            None => BTreeMap::new(),
        };
        let (config, seed) = (&self.recipe.eval, self.recipe.data.seed);
        let prepared =
            prepare(self.lalm, &loaded.set, config, self.recipe.build.prompt, seed, Progress::new)?;
        let subject = Subject {
            lalm: self.lalm,
            adapters: adapters.as_ref(),
            known_share: &known_share,
            provenance: &provenance,
        };
        Ok(evaluate_prepared(&subject, &prepared, config, seed, &self.eval_dir, Progress::new)?)
    }
}

/// Evaluates the adapter of a run in progress and prints its table.
pub(crate) fn evaluate_run(run: &Run<'_>, adapter: &Path, json: bool) -> Result<(), Failure> {
    let job = Job {
        recipe: run.recipe,
        lalm: &run.lalm,
        model_sha256: &run.model_sha256,
        adapter: Some(adapter),
        dataset: Some(run.dir.dataset()),
        questions_dir: run.questions_dir(),
        eval_dir: run.dir.eval(),
    };
    print_results(&job.run()?, json)?;
    Ok(())
}

/// `idk-eval`: the test set of a recipe, or any question set.
///
/// Without `adapter` a recipe's own run is evaluated, if it has an adapter yet; else the base model alone.
///
/// # Errors
/// Whatever stops it; `results.json` is written last.
pub fn evaluate(
    recipe: &Recipe,
    of_run: bool,
    adapter: Option<&Path>,
    out: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let dir = idk_trainer::RunDir::new(&recipe.output.dir);
    let device = idk_model::device(&recipe.model.device)?;
    let lalm = Lalm::load(&recipe.model.path, &device)?;
    let model_sha256 = sources::model_sha256(&recipe.model.path)?;
    let own_adapter = of_run.then(|| dir.adapter()).filter(|path| path.is_dir());
    let labelled = of_run && dir.dataset().join(idk_dataset_builder::MANIFEST_FILE).is_file();
    let eval_dir = out.map_or_else(|| dir.eval(), Path::to_owned);
    let _lock = idk_common::lock::RunLock::acquire(out.unwrap_or(&dir.root))?;
    let job = Job {
        recipe,
        lalm: &lalm,
        model_sha256: &model_sha256,
        adapter: adapter.or(own_adapter.as_deref()),
        dataset: labelled.then(|| dir.dataset()),
        questions_dir: out.map_or_else(|| dir.root.clone(), Path::to_owned).join("questions"),
        eval_dir,
    };
    let results = job.run()?;
    print_results(&results, json)?;
    say(&format!("results   {}", results_file(&job.eval_dir).display()));
    Ok(())
}

/// Refuses `idk-eval` without a recipe when `--model`, `--questions` or `--out` is missing.
///
/// # Errors
/// [`RunError::Usage`] naming what is missing.
pub fn require_free_standing(
    model: Option<&Path>,
    questions: Option<&Path>,
    out: Option<&Path>,
) -> Result<(), RunError> {
    let missing: Vec<&str> = [("--model", model), ("--questions", questions), ("--out", out)]
        .into_iter()
        .filter_map(|(name, value)| value.is_none().then_some(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("without a recipe, {} must be given", missing.join(" and "));
    Err(RunError::Usage { what })
}

/// `idk-eval score`: stored answers, no model.
///
/// # Errors
/// Files that cannot be read, missing or double answers.
pub fn score(questions: &Path, before: &Path, after: &Path, json: bool) -> Result<(), Failure> {
    let config = idk_evaluator::EvalConfig::default();
    let score = idk_evaluator::score_files(questions, before, after, 0, config.bootstrap_draws)?;
    if json {
        print_line(&serde_json::to_string(&score.comparison).unwrap_or_default())?;
    } else {
        print_line(score_table(&score.comparison).trim_end())?;
    }
    if !score.rejected.is_empty() {
        say(&format!("{} questions cannot be used and are not counted", score.rejected.len()));
    }
    Ok(())
}

fn score_table(comparison: &idk_questions::metrics::Comparison) -> String {
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let plain = |value: Option<f64>, reason: &Option<String>| match value {
        Some(value) => format!("{value:.4}"),
        None => reason.clone().unwrap_or_else(|| "-".to_owned()),
    };
    let mut text = format!("n {}\n\n|  | before | after |\n|---|---:|---:|\n", comparison.n);
    for (name, pair) in [
        ("Acc %", &comparison.acc),
        ("Tru %", &comparison.tru),
        ("Rel %", &comparison.rel),
        ("refused %", &comparison.refusal_rate),
    ] {
        text.push_str(&format!("| {name} | {} | {} |\n", percent(pair.before), percent(pair.after)));
    }
    let interval = comparison.rgi_ci95.map_or(String::new(), |[low, high]| format!(" [{low:.2}, {high:.2}]"));
    text.push_str(&format!(
        "\ndCon {} %, dHum {} %\nRGI {}{interval}, relative {}, at random {}\n",
        percent(comparison.dcon),
        percent(comparison.dhum),
        plain(comparison.rgi, &comparison.rgi_reason),
        plain(comparison.rgi_relative, &comparison.rgi_reason),
        plain(comparison.random_rgi, &None),
    ));
    text
}

fn print_results(results: &Results, json: bool) -> Result<(), Failure> {
    if json {
        print_line(&serde_json::to_string(results).unwrap_or_default())?;
    } else {
        print_line(tables(results).trim())?;
    }
    Ok(())
}
