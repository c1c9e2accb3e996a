//! What the programs evaluate: a run's test set, any question set, stored answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::identity::differences;
use idk_common::{Identity, RunDir};
use idk_evaluator::{
    ADAPTER_NAME_RULE, ALL, Method, NamedAdapter, Prepared, Results, Samples, Subject, View,
    evaluate as evaluate_prepared, is_adapter_name, known_shares, prepare, render, results_file,
};
use idk_model::{Adapters, Lalm};
use idk_questions::Scorer;
use idk_questions::metrics::Counts;

use crate::cli::{print_line, say};
use crate::error::{Failure, RunError};
use crate::pipeline::Run;
use crate::recipe::{DataSection, Recipe};
use crate::same_run::other_run;
use crate::sources::{self, Set};
use crate::terminal;

/// What is answered, with which model, and where the results go.
struct Job<'a> {
    recipe: &'a Recipe,
    lalm: &'a Lalm,
    model_sha256: &'a str,
    adapters: Vec<NamedAdapter>,
    dataset: Option<PathBuf>,
    questions_dir: PathBuf,
    eval_dir: PathBuf,
    /// The run that `eval_dir` belongs to.
    run_dir: Option<PathBuf>,
}

impl Job<'_> {
    fn run(&self) -> Result<Results, Failure> {
        let loaded = sources::load(
            &self.recipe.data,
            Set::Test,
            &self.questions_dir,
            self.recipe.eval.max_rejected_share,
        )?;
        let mut provenance = BTreeMap::from([
            ("model".to_owned(), sources::folder_name(&self.recipe.model.path)),
            ("model_sha256".to_owned(), self.model_sha256.to_owned()),
            ("questions".to_owned(), sources::display_name(&self.recipe.data.test)),
            ("questions_sha256".to_owned(), idk_common::hash::sha256_file(&loaded.path)?),
        ]);
        for adapter in &self.adapters {
            let key = match adapter.name.as_str() {
                "adapter" => "adapter_sha256".to_owned(),
                name => format!("adapter_{name}_sha256"),
            };
            provenance.insert(key, adapter.sha256.clone());
        }
        let known_share = match &self.dataset {
            Some(dir) => known_shares(&idk_dataset_builder::read_labels(dir)?),
            None => BTreeMap::new(),
        };
        let (config, seed) = (&self.recipe.eval, self.recipe.data.seed);
        let prepared =
            prepare(self.lalm, &loaded.set, config, self.recipe.build.prompt, seed, terminal::progress)?;
        let val = self.val(&mut provenance)?;
        let samples = self.samples(&prepared, val.as_ref())?;
        let device = crate::pipeline::device_of_answers(self.recipe, self.lalm);
        let subject = Subject {
            lalm: self.lalm,
            model_sha256: self.model_sha256,
            device: &device,
            adapters: &self.adapters,
            known_share: &known_share,
            run_dir: self.run_dir.as_deref(),
            val: val.as_ref(),
            samples: samples.as_ref(),
            provenance: &provenance,
        };
        Ok(evaluate_prepared(&subject, &prepared, config, seed, &self.eval_dir, terminal::progress)?)
    }

    /// Samples of the base model on the questions of test and val, if the recipe has `agreement`.
    fn samples(&self, test: &Prepared, val: Option<&Prepared>) -> Result<Option<Samples>, Failure> {
        let Some(val) = val.filter(|_| self.recipe.eval.methods.contains(&Method::Agreement)) else {
            return Ok(None);
        };
        let of = |set: &Prepared| {
            crate::agreement::sample(self.lalm, self.recipe, self.model_sha256, set, &self.eval_dir)
        };
        Ok(Some(Samples { test: of(test)?, val: of(val)? }))
    }

    /// The questions that thresholds are fitted on, if the recipe has a method with one.
    fn val(&self, provenance: &mut BTreeMap<String, String>) -> Result<Option<Prepared>, Failure> {
        let config = &self.recipe.eval;
        if !config.fits_on_val() {
            return Ok(None);
        }
        // Whatever their task: the test set, too, is answered whole.
        let data = DataSection { tasks: Vec::new(), ..self.recipe.data.clone() };
        let loaded = sources::load(&data, Set::Val, &self.questions_dir, config.max_rejected_share)?;
        let sha256 = idk_common::hash::sha256_file(&loaded.path)?;
        if provenance.get("questions_sha256") == Some(&sha256) {
            return Err(val_is_test().into());
        }
        provenance.insert("val".to_owned(), sources::display_name(&data.val));
        provenance.insert("val_sha256".to_owned(), sha256);
        let (style, seed) = (self.recipe.build.prompt, data.seed);
        Ok(Some(prepare(self.lalm, &loaded.set, config, style, seed, terminal::progress)?))
    }
}

fn val_is_test() -> RunError {
    let what = "`val` in [data] is the test set: a threshold must not be fitted on what it is judged by";
    RunError::Usage { what: what.to_owned() }
}

/// Loads adapters. Their files are hashed by name and content; a README among them does not count.
fn load_adapters(named: &[(String, PathBuf)], lalm: &Lalm) -> Result<Vec<NamedAdapter>, Failure> {
    let load = |(name, dir): &(String, PathBuf)| {
        let adapters = Adapters::load(dir, lalm)?;
        let sha256 = sources::model_sha256(dir)?;
        Ok(NamedAdapter { name: name.clone(), adapters, sha256 })
    };
    named.iter().map(load).collect()
}

/// Evaluates the adapter of a run in progress and prints its table.
pub(crate) fn evaluate_run(run: &Run<'_>, adapter: &Path, json: bool) -> Result<Results, Failure> {
    let results = results_of_run(run, adapter)?;
    print_results(&results, json, &View::default())?;
    Ok(results)
}

/// Evaluates the adapter of a run in progress.
pub(crate) fn results_of_run(run: &Run<'_>, adapter: &Path) -> Result<Results, Failure> {
    let job = Job {
        recipe: run.recipe,
        lalm: &run.lalm,
        model_sha256: &run.model_sha256,
        adapters: load_adapters(&with_own(Some(adapter), run.recipe)?, &run.lalm)?,
        dataset: Some(run.dir.dataset()),
        questions_dir: run.questions.clone(),
        eval_dir: run.dir.eval(),
        run_dir: Some(run.dir.root.clone()),
    };
    job.run()
}

/// What `idk-eval` was asked for, besides the recipe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// A recipe was named, so its run folder is meant.
    pub of_run: bool,
    /// `--model`, in place of the recipe's.
    pub model: Option<&'a Path>,
    /// `--adapter`, each a folder or `NAME=FOLDER`; without it a recipe's own run is evaluated, if it has an adapter
    /// yet, with the recipe's `eval.adapters` beside it, else the base model alone.
    pub adapters: &'a [String],
    /// `--questions`, in place of the recipe's test set.
    pub questions: Option<&'a Path>,
    /// `--out`, in place of the run's `eval/`.
    pub out: Option<&'a Path>,
    /// Print JSON on stdout instead of tables.
    pub json: bool,
    /// Which tables, in which form.
    pub view: View,
}

/// `idk-eval`: the test set of a recipe, or any question set.
///
/// # Errors
/// What does not go together, before anything is read; whatever is missing, before anything is written; `results.json`
/// is written last.
pub fn evaluate(mut recipe: Recipe, request: &Request<'_>) -> Result<(), Failure> {
    request.check(&recipe)?;
    if let Some(model) = request.model {
        recipe.model.path = model.to_owned();
    }
    if let Some(questions) = request.questions {
        recipe.data.test = questions.display().to_string();
    }
    let dir = RunDir::new(&recipe.output.dir);
    sources::check(&recipe.data, &[Set::Test])?;
    check_inputs(&recipe)?;
    let lalm = crate::pipeline::load_model(&recipe)?;
    let model_sha256 = sources::model_sha256(&recipe.model.path)?;
    let labelled = request.of_run && dir.dataset().join(idk_dataset_builder::MANIFEST_FILE).is_file();
    if labelled && request.out.is_none() {
        check_model_of_run(&dir, &model_sha256)?;
    }
    let own_adapter = request.of_run.then(|| dir.adapter()).filter(|path| path.is_dir());
    let named = match request.adapters {
        [] => with_own(own_adapter.as_deref(), &recipe)?,
        given => named_adapters(given)?,
    };
    let adapters = load_adapters(&named, &lalm)?;
    let folder = request.out.unwrap_or(&dir.root);
    let _lock = idk_common::lock::RunLock::acquire(folder)?;
    let job = Job {
        recipe: &recipe,
        lalm: &lalm,
        model_sha256: &model_sha256,
        adapters,
        dataset: labelled.then(|| dir.dataset()),
        questions_dir: RunDir::new(folder).questions(),
        eval_dir: request.out.map_or_else(|| dir.eval(), Path::to_owned),
        run_dir: request.out.is_none().then(|| dir.root.clone()),
    };
    print_results(&job.run()?, request.json, &request.view)?;
    say(&format!("results   {}", results_file(&job.eval_dir).display()));
    Ok(())
}

impl Request<'_> {
    /// The `eval/` of a run is for its own model, adapter and test set; others go elsewhere.
    fn check(&self, recipe: &Recipe) -> Result<(), RunError> {
        if self.json && self.view != View::default() {
            let what =
                "--json prints everything: it goes without --format, --by, --transitions and --p-values";
            return Err(RunError::Usage { what: what.to_owned() });
        }
        if !self.of_run {
            return require_free_standing(self.model, self.questions, self.out);
        }
        let own_adapter = RunDir::new(&recipe.output.dir).adapter();
        let others = [
            ("--model", self.model.is_some_and(|path| path != recipe.model.path)),
            ("--adapter", self.adapters.iter().any(|entry| Path::new(entry) != own_adapter)),
            ("--questions", self.questions.is_some_and(|path| path != Path::new(&recipe.data.test))),
        ];
        match others.iter().find(|(_, other)| *other && self.out.is_none()) {
            Some((option, _)) => {
                let what =
                    format!("{option} with a recipe needs --out: the run's eval/ is for its own results");
                Err(RunError::Usage { what })
            }
            None => Ok(()),
        }
    }
}

/// Names and folders of `--adapter`. A name stands before the first `=`; a folder without one is called `adapter`, also
/// where its path has a `=` behind what cannot be a name.
fn named_adapters(given: &[String]) -> Result<Vec<(String, PathBuf)>, RunError> {
    let mut named: Vec<(String, PathBuf)> = Vec::new();
    for entry in given {
        let is_path = |name: &str| name.contains(std::path::is_separator) || Path::new(entry).is_dir();
        let (name, folder) = match entry.split_once('=') {
            Some((name, folder)) if is_adapter_name(name) => (name, folder),
            Some((name, _)) if !is_path(name) => {
                let what = format!("--adapter: `{name}` cannot name an adapter: {ADAPTER_NAME_RULE}");
                return Err(RunError::Usage { what });
            }
            _ => (Method::Adapter.name(), entry.as_str()),
        };
        if named.iter().any(|(other, _)| other == name) {
            let what = format!("two adapters are called `{name}`: write `--adapter NAME=FOLDER`");
            return Err(RunError::Usage { what });
        }
        named.push((name.to_owned(), PathBuf::from(folder)));
    }
    Ok(named)
}

/// The run's own adapter, called `adapter`, and those of the recipe.
fn with_own(own: Option<&Path>, recipe: &Recipe) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut named: Vec<(String, PathBuf)> =
        own.map(|path| (Method::Adapter.name().to_owned(), path.to_owned())).into_iter().collect();
    named.extend(recipe.eval.named_adapters()?);
    Ok(named)
}

/// Refuses a recipe whose evaluation names files that cannot be used, before hours are spent on what comes first.
///
/// # Errors
/// Prompts and adapters that are not there, and what [`check_val`] finds.
pub(crate) fn check_inputs(recipe: &Recipe) -> Result<(), Failure> {
    recipe.eval.prompts.check()?;
    for (_, dir) in recipe.eval.named_adapters()? {
        drop(idk_common::fs::open(&dir.join("adapter_config.json"))?);
    }
    check_val(recipe)
}

/// Refuses a `val` that cannot be loaded, or that is the test set.
fn check_val(recipe: &Recipe) -> Result<(), Failure> {
    if !recipe.eval.fits_on_val() {
        return Ok(());
    }
    // `--questions` may have put another test set in the recipe's place.
    if recipe.data.val == recipe.data.test {
        return Err(val_is_test().into());
    }
    sources::check(&recipe.data, &[Set::Val])
}

/// Refuses to put answers of one model beside the dataset and adapter of another.
pub(crate) fn check_model_of_run(dir: &RunDir, model_sha256: &str) -> Result<(), Failure> {
    let made_with = idk_dataset_builder::read_manifest(&dir.dataset())?.provenance.model_sha256;
    if made_with == model_sha256 {
        return Ok(());
    }
    let then = Identity::default().with("model", made_with);
    let now = Identity::default().with("model", model_sha256);
    Err(other_run(dir, differences(&then, &now)))
}

/// Refuses `idk-eval` without a recipe when `--model`, `--questions` or `--out` is missing.
///
/// # Errors
/// [`RunError::Usage`] naming what is missing.
fn require_free_standing(
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

/// `idk-eval plot`: the plots of stored results, no model.
///
/// # Errors
/// A folder without results, files that cannot be read or written.
pub fn plot(folder: &Path, out: Option<&Path>, json: bool) -> Result<(), Failure> {
    let written = idk_evaluator::plot_folder(folder, out)?;
    if json {
        let files: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        return Ok(print_line(&serde_json::json!({ "files": files }).to_string())?);
    }
    for path in written {
        print_line(&idk_common::text::display_path(&path))?;
    }
    Ok(())
}

/// `idk-eval score`: stored answers, no model.
///
/// # Errors
/// Files that cannot be read, missing or double answers.
pub fn score(
    questions: &Path,
    before: &Path,
    after: &Path,
    scorer: Scorer,
    json: bool,
) -> Result<(), Failure> {
    let config = idk_evaluator::EvalConfig::default();
    let score = idk_evaluator::score_files(questions, before, after, scorer, 0, config.bootstrap_draws)?;
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
        plain(comparison.random_rgi_beside(), &None),
    ));
    text
}

fn print_results(results: &Results, json: bool, view: &View) -> Result<(), Failure> {
    if json {
        print_line(&with_headline(results).to_string())?;
    } else {
        print_line(render(results, view).trim())?;
    }
    Ok(())
}

/// The results with the numbers of the adapter (else of the first method) over all tasks at the top, under the keys of
/// `idk-eval score`; without a method the base model's numbers before, and nothing after.
fn with_headline(results: &Results) -> serde_json::Value {
    let mut object = serde_json::to_value(results).unwrap_or_default();
    let adapter = results.methods.iter().find(|result| result.method == Method::Adapter);
    let headline = match adapter.or(results.methods.first()) {
        Some(result) => {
            object["method"] = result.name.clone().into();
            let all = result.tasks.iter().find(|row| row.task == ALL);
            serde_json::to_value(all.map(|row| &row.comparison)).unwrap_or_default()
        }
        None => {
            let counts = results.base.iter().find(|row| row.task == ALL).map(|row| row.counts);
            let percent = |value: fn(&Counts) -> Option<f64>| {
                serde_json::json!({
                    "before": counts.as_ref().and_then(value).map(|share| 100.0 * share),
                    "after": null,
                })
            };
            serde_json::json!({
                "acc": percent(Counts::acc),
                "tru": percent(Counts::tru),
                "rel": percent(Counts::rel),
                "refusal_rate": percent(Counts::refusal_rate),
                "rgi_reason": "no method was compared",
            })
        }
    };
    if let (Some(object), serde_json::Value::Object(headline)) = (object.as_object_mut(), headline) {
        for (key, value) in headline {
            object.entry(key).or_insert(value);
        }
    }
    object
}
