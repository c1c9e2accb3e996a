//! `idk-eval`: the test set of a recipe, or any question set, answered and compared.

use std::path::{Path, PathBuf};

use clap::Args;
use idk_common::{RunDir, owned};
use idk_evaluator::{
    ADAPTER_NAME_RULE, ALL, Grouping, Method, Results, TableFormat, View, is_adapter_name, render,
    results_file,
};
use idk_questions::metrics::Counts;
use serde_json::{Value, json};

use crate::command::args::{RecipeArgs, one_of};
use crate::recipe::Recipe;
use crate::run::questions::{self, Set};
use crate::run::same_run::check_model_of_run;
use crate::run::{AnsweringModel, Claim, RunError, claim_run, inputs};
use crate::stage::evaluate::{EvaluationStage, load_adapters, with_own};
use crate::terminal::{Failure, print_result, say};

/// What an evaluation writes into the folder of `--out`.
const EVALUATION_FILES: [&str; 6] =
    ["questions", ".answers", "answers-*", "rejected.jsonl", "results.json", "report.html"];

/// Options of `idk-eval` without a subcommand.
#[derive(Args)]
pub(super) struct EvaluateArguments {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Base model folder, instead of a recipe's
    #[arg(long)]
    model: Option<PathBuf>,
    /// Adapter folder (PEFT); repeatable, then with names [default with a recipe: the run's own]
    #[arg(long, value_name = "[NAME=]FOLDER")]
    adapter: Vec<String>,
    /// Question set, MMAU-shaped JSON or JSONL, instead of a recipe's
    #[arg(long)]
    questions: Option<PathBuf>,
    /// Folder for answers and results, instead of the run's eval/
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    view: ViewArguments,
}

#[derive(Args)]
struct ViewArguments {
    /// Format of the tables
    #[arg(long, default_value = "markdown", value_parser = one_of([
        ("markdown", TableFormat::Markdown), ("csv", TableFormat::Csv), ("latex", TableFormat::Latex),
    ]))]
    format: TableFormat,
    /// Add a table by groups of questions; CSV and LaTeX have these rows instead of the tasks
    #[arg(long, value_parser = one_of([
        ("sub-category", Grouping::SubCategory), ("difficulty", Grouping::Difficulty),
    ]))]
    by: Option<Grouping>,
    /// Add the transitions: how many answers went from correct, wrong, refused to each of the three
    #[arg(long)]
    transitions: bool,
    /// Add the p-values of every pair of methods (McNemar's exact test)
    #[arg(long)]
    p_values: bool,
}

impl ViewArguments {
    fn view(&self) -> View {
        let Self { format, by, transitions, p_values } = *self;
        View { format, by, transitions, pairs: p_values }
    }
}

impl EvaluateArguments {
    /// What of it was given, in words.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let own = [
            ("--model", self.model.is_some()),
            ("--adapter", !self.adapter.is_empty()),
            ("--format, --by, --transitions or --p-values", self.view.view() != View::default()),
            ("--out", self.out.is_some()),
        ];
        self.recipe.given().into_iter().chain(own)
    }

    /// Answers the test set and prints its tables.
    ///
    /// # Errors
    /// What does not go together, before anything is read; whatever is missing, before anything is written;
    /// `results.json` is written last.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let of_run = self.recipe.recipe.is_some();
        let mut recipe = self.recipe.load_or_default()?;
        self.check(&recipe, json)?;
        if let Some(model) = &self.model {
            model.clone_into(&mut recipe.model.path);
        }
        if let Some(questions) = &self.questions {
            recipe.data.test = questions.display().to_string();
        }
        let dir = RunDir::new(&recipe.output.dir);
        questions::check(&recipe.data, &[Set::Test])?;
        inputs::check_evaluation(&recipe)?;
        match &self.out {
            Some(out) => owned::check(out, &EVALUATION_FILES)?,
            None => dir.check_claim()?,
        }
        let labelled = of_run && dir.dataset().join(idk_dataset_builder::MANIFEST_FILE).is_file();
        let folder = self.out.as_ref().unwrap_or(&dir.root);
        let claim: Claim = match &self.out {
            Some(_) => |out| owned::claim(out, &EVALUATION_FILES),
            None => claim_run,
        };
        let model = AnsweringModel::load(&recipe)?;
        let evaluated = model.evaluated()?;
        if labelled && self.out.is_none() {
            check_model_of_run(&dir, evaluated.sha256)?;
        }
        let (named, served_adapters) = self.named_adapters(&recipe, &dir)?;
        check_adapters(&recipe, &named)?;
        let adapters = match evaluated.folder {
            Some(folder) => load_adapters(&named, &folder.lalm)?,
            None => Vec::new(),
        };
        let _lock = claim(folder)?;
        let evaluation = EvaluationStage {
            recipe: &recipe,
            model: evaluated,
            questions: RunDir::new(folder).questions(),
            adapters,
            served_adapters,
            dataset: labelled.then(|| dir.dataset()),
            eval_dir: self.out.clone().unwrap_or_else(|| dir.eval()),
            run_dir: self.out.is_none().then(|| dir.root.clone()),
        };
        print_results(&evaluation.results()?, json, &self.view.view())?;
        say(&format!("results   {}", results_file(&evaluation.eval_dir).display()));
        Ok(())
    }

    /// The adapters that were given; else a recipe's own run is evaluated, if it has an adapter yet, with the recipe's
    /// `eval.adapters`, else the base model alone.
    ///
    /// Those in folders, then those of the server.
    fn named_adapters(&self, recipe: &Recipe, dir: &RunDir) -> Result<(Folders, OnServer), Failure> {
        if !self.adapter.is_empty() {
            let (mut folders, mut on_server) = (Folders::new(), OnServer::new());
            for (name, place) in named_adapters(&self.adapter)? {
                match place.to_str().and_then(|place| place.strip_prefix("server:")) {
                    Some(served) => on_server.push((name, served.to_owned())),
                    None => folders.push((name, place)),
                }
            }
            return Ok((folders, on_server));
        }
        let is_local = recipe.model.server_url.is_empty();
        let own =
            Some(dir.adapter()).filter(|path| is_local && self.recipe.recipe.is_some() && path.is_dir());
        Ok((with_own(own.as_deref(), recipe)?, recipe.eval.served_adapters()))
    }

    /// The `eval/` of a run is for its own model, adapter and test set; others go elsewhere.
    fn check(&self, recipe: &Recipe, json: bool) -> Result<(), RunError> {
        if json && self.view.view() != View::default() {
            let what =
                "--json prints everything: it goes without --format, --by, --transitions and --p-values";
            return Err(RunError::usage(what));
        }
        if self.recipe.recipe.is_none() {
            return self.check_free_standing(recipe);
        }
        let own_adapter = RunDir::new(&recipe.output.dir).adapter();
        let others = [
            ("--model", self.model.as_ref().is_some_and(|path| *path != recipe.model.path)),
            ("--adapter", self.adapter.iter().any(|entry| Path::new(entry) != own_adapter)),
            ("--questions", self.questions.as_ref().is_some_and(|path| path != Path::new(&recipe.data.test))),
        ];
        match others.iter().find(|(_, other)| *other && self.out.is_none()) {
            Some((option, _)) => {
                let rule = "needs --out: the run's eval/ is for its own results";
                Err(RunError::usage(format!("{option} with a recipe {rule}")))
            }
            None => Ok(()),
        }
    }

    /// Without a recipe nothing says which model, questions and folder are meant.
    fn check_free_standing(&self, recipe: &Recipe) -> Result<(), RunError> {
        let needed = [("--model", &self.model), ("--questions", &self.questions), ("--out", &self.out)];
        let is_served = !recipe.model.server_url.is_empty();
        let missing =
            needed.into_iter().filter(|(name, value)| value.is_none() && !(is_served && *name == "--model"));
        let missing: Vec<&str> = missing.map(|(name, _)| name).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if missing.len() == needed.len() {
            return Err(RunError::NothingToEvaluate);
        }
        Err(RunError::usage(format!("without a recipe, {} must be given", missing.join(" and "))))
    }
}

/// Names and folders of adapters.
type Folders = Vec<(String, PathBuf)>;

/// Names of adapters, and their names on the server.
type OnServer = Vec<(String, String)>;

/// A server cannot be given the adapter of a folder.
fn check_adapters(recipe: &Recipe, folders: &Folders) -> Result<(), RunError> {
    match folders.first() {
        Some((name, _)) if !recipe.model.server_url.is_empty() => {
            let rule =
                "the server of [model] has its own: write `NAME=server:ITS_NAME`, or serve the merged model";
            Err(RunError::usage(format!("the adapter `{name}` is a folder, but {rule}")))
        }
        _ => Ok(()),
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

/// Prints results: the tables of `view`, or everything as one JSON object.
pub(in crate::command) fn print_results(results: &Results, json: bool, view: &View) -> Result<(), Failure> {
    let text = || render(results, view).trim().to_owned();
    Ok(print_result(json, &if json { with_headline(results) } else { Value::Null }, text)?)
}

/// The results with the numbers of the adapter (else of the first method) over all tasks at the top, under the keys of
/// `idk-eval score`; without a method the base model's numbers before, and nothing after.
fn with_headline(results: &Results) -> Value {
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
                json!({
                    "before": counts.as_ref().and_then(value).map(|share| 100.0 * share),
                    "after": null,
                })
            };
            json!({
                "acc": percent(Counts::acc),
                "tru": percent(Counts::tru),
                "rel": percent(Counts::rel),
                "refusal_rate": percent(Counts::refusal_rate),
                "rgi_reason": "no method was compared",
            })
        }
    };
    if let (Some(object), Value::Object(headline)) = (object.as_object_mut(), headline) {
        for (key, value) in headline {
            object.entry(key).or_insert(value);
        }
    }
    object
}
