//! The last stage of a run: the test set answered by the base model, by training-free methods and by adapters, and
//! compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_dataset_builder::{QuestionRow, read_asked, read_labels};
use idk_evaluator::{
    EvalConfig, LabelledQuestions, Method, NamedAdapter, Prepared, Results, Samples, Subject, evaluate,
    known_shares, prepare,
};
use idk_model::{Adapters, Lalm, Part};
use idk_questions::rows::LabelRow;
use idk_questions::{AskedQuestion, Question, QuestionSet};

use super::answering::answering;
use super::samples;
use crate::recipe::{DataSection, Recipe};
use crate::run::inputs::val_is_test;
use crate::run::questions::{self, LoadedQuestions, Set};
use crate::run::{EvaluatedModel, Run, model_sha256};
use crate::terminal::{Failure, progress};

/// What is answered, and where the results go.
pub(crate) struct EvaluationStage<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) model: EvaluatedModel<'a>,
    /// Where rendered splits of the bank lie.
    pub(crate) questions: PathBuf,
    pub(crate) adapters: Vec<NamedAdapter>,
    /// Adapters that the server has: the name of each, and that on the server.
    pub(crate) served_adapters: Vec<(String, String)>,
    /// The folder of the labels, if the questions' shares of known answers are wanted.
    pub(crate) dataset: Option<PathBuf>,
    pub(crate) eval_dir: PathBuf,
    /// The run that `eval_dir` belongs to.
    pub(crate) run_dir: Option<PathBuf>,
}

impl EvaluationStage<'_> {
    /// Answers, scores and compares; `results.json` is written last.
    ///
    /// # Errors
    /// Questions that cannot be loaded; whatever stops the answers, a signal among it: those so far are kept.
    pub(crate) fn results(&self) -> Result<Results, Failure> {
        let (recipe, model) = (self.recipe, &self.model);
        let (data, config) = (&recipe.data, &recipe.eval);
        let loaded = questions::load(data, Set::Test, &self.questions, config.max_rejected_share)?;
        let mut provenance = BTreeMap::from([
            ("model".to_owned(), recipe.model.name()),
            ("model_sha256".to_owned(), model.sha256.to_owned()),
            ("questions".to_owned(), questions::display_name(&data.test)),
            ("questions_sha256".to_owned(), idk_common::hash::sha256_file(&loaded.path)?),
        ]);
        for adapter in &self.adapters {
            let key = match adapter.name.as_str() {
                name if name == Method::Adapter.name() => "adapter_sha256".to_owned(),
                name => format!("adapter_{name}_sha256"),
            };
            provenance.insert(key, adapter.sha256.clone());
        }
        for (name, on_server) in &self.served_adapters {
            provenance.insert(format!("adapter_{name}"), format!("server:{on_server}"));
        }
        let known_share = match &self.dataset {
            Some(dir) => known_shares(&idk_dataset_builder::read_labels(dir)?),
            None => BTreeMap::new(),
        };
        let prepared = self.prepare(&loaded)?;
        let val = self.val(&mut provenance)?;
        let samples = self.samples(&prepared, val.as_ref())?;
        let probe = self.labelled()?;
        let subject = Subject {
            backend: model.backend.clone(),
            model_sha256: model.sha256,
            device: model.device,
            adapters: &self.adapters,
            served_adapters: &self.served_adapters,
            known_share: &known_share,
            run_dir: self.run_dir.as_deref(),
            val: val.as_ref(),
            samples: samples.as_ref(),
            probe: probe.as_ref(),
            provenance: &provenance,
            stop: None,
        };
        let dir = &self.eval_dir;
        answering(dir, |stop| {
            let subject = Subject { stop: Some(stop), ..subject };
            evaluate(&subject, &prepared, config, data.seed, dir, progress)
        })
    }

    fn prepare(&self, loaded: &LoadedQuestions) -> Result<Prepared, Failure> {
        self.prepare_as(&loaded.set, &self.recipe.eval)
    }

    fn prepare_as(&self, set: &QuestionSet, config: &EvalConfig) -> Result<Prepared, Failure> {
        let recipe = self.recipe;
        let (build, seed) = (&recipe.build, recipe.data.seed);
        let (style, refusals) = (build.prompt, build.refusal_texts());
        Ok(prepare(&self.model.backend, set, config, style, refusals, seed, progress)?)
    }

    /// Samples of the base model on the questions of test and val, if the recipe has a method that is made from them.
    fn samples(&self, test: &Prepared, val: Option<&Prepared>) -> Result<Option<Samples>, Failure> {
        let recipe = self.recipe;
        let Some(val) = val.filter(|_| recipe.eval.needs_samples()) else {
            return Ok(None);
        };
        let of = |set: &Prepared| samples::sample(&self.model, recipe, set, &self.eval_dir);
        Ok(Some(Samples { test: of(test)?, val: of(val)? }))
    }

    /// The questions of the IDK dataset, asked as they were when it was built, if the recipe has `probe`.
    fn labelled(&self) -> Result<Option<LabelledQuestions>, Failure> {
        let recipe = self.recipe;
        let Some(dir) = self.dataset.as_ref().filter(|_| recipe.eval.methods.contains(&Method::Probe)) else {
            return Ok(None);
        };
        let share = |row: LabelRow| (row.id, (row.n - row.correct) as f64 / row.n.max(1) as f64);
        let shares: BTreeMap<String, f64> = read_labels(dir)?.into_iter().map(share).collect();
        let question = |row: QuestionRow| {
            let text = |part: Part| if let Part::Text(text) = part { Some(text) } else { None };
            Question {
                // With its options in the text, as an open question.
                question: row.user().parts.into_iter().filter_map(text).collect(),
                audio: row.audios.iter().map(PathBuf::from).collect(),
                id: row.id,
                task: row.task,
                ..Question::default()
            }
        };
        let questions = read_asked(dir)?.into_iter().map(question).collect();
        let set = QuestionSet { questions, rejected: Vec::new() };
        let config = EvalConfig { limit: None, methods: Vec::new(), ..recipe.eval.clone() };
        let prepared = self.prepare_as(&set, &config)?;
        let of_question = |asked: &AskedQuestion| shares.get(asked.id()).copied().unwrap_or(1.0);
        let wrong_share = prepared.questions.iter().map(of_question).collect();
        Ok(Some(LabelledQuestions { prepared, wrong_share }))
    }

    /// The questions that thresholds are fitted on, if the recipe has a method with one.
    fn val(&self, provenance: &mut BTreeMap<String, String>) -> Result<Option<Prepared>, Failure> {
        let recipe = self.recipe;
        if !recipe.eval.fits_on_val() {
            return Ok(None);
        }
        // Whatever their task: the test set, too, is answered whole.
        let data = DataSection { tasks: Vec::new(), ..recipe.data.clone() };
        let max_rejected = recipe.eval.max_rejected_share;
        let loaded = questions::load(&data, Set::Val, &self.questions, max_rejected)?;
        let sha256 = idk_common::hash::sha256_file(&loaded.path)?;
        if provenance.get("questions_sha256") == Some(&sha256) {
            return Err(val_is_test().into());
        }
        provenance.insert("val".to_owned(), questions::display_name(&data.val));
        provenance.insert("val_sha256".to_owned(), sha256);
        Ok(Some(self.prepare(&loaded)?))
    }
}

/// Loads adapters. Their files are hashed by name and content; a README among them does not count.
pub(crate) fn load_adapters(named: &[(String, PathBuf)], lalm: &Lalm) -> Result<Vec<NamedAdapter>, Failure> {
    let load = |(name, dir): &(String, PathBuf)| {
        let adapters = Adapters::load(dir, lalm)?;
        let sha256 = model_sha256(dir)?;
        Ok(NamedAdapter { name: name.clone(), adapters, sha256 })
    };
    named.iter().map(load).collect()
}

/// Evaluates the adapter of a run in progress.
///
/// # Errors
/// As [`EvaluationStage::results`]; an adapter that cannot be loaded.
pub(super) fn results_of_run(run: &Run<'_>) -> Result<Results, Failure> {
    let named = with_own(Some(&run.dir.adapter()), run.recipe)?;
    let evaluation = EvaluationStage {
        recipe: run.recipe,
        model: run.model.evaluated()?,
        questions: run.questions.clone(),
        served_adapters: Vec::new(),
        adapters: load_adapters(&named, &run.model.folder()?.lalm)?,
        dataset: Some(run.dir.dataset()),
        eval_dir: run.dir.eval(),
        run_dir: Some(run.dir.root.clone()),
    };
    evaluation.results()
}

/// The run's own adapter, called `adapter`, and those of the recipe.
pub(crate) fn with_own(own: Option<&Path>, recipe: &Recipe) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut named: Vec<(String, PathBuf)> =
        own.map(|path| (Method::Adapter.name().to_owned(), path.to_owned())).into_iter().collect();
    named.extend(recipe.eval.named_adapters()?);
    Ok(named)
}
