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

use super::samples;
use crate::recipe::{DataSection, Recipe};
use crate::run::inputs::val_is_test;
use crate::run::questions::{self, LoadedQuestions, Set};
use crate::run::{Run, folder_name, model_sha256};
use crate::terminal::{Failure, progress};

/// What is answered, and where the results go.
pub(crate) struct EvaluationStage<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) adapters: Vec<NamedAdapter>,
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
    /// Questions that cannot be loaded; whatever stops the answers, of which those so far are kept.
    pub(crate) fn results(&self) -> Result<Results, Failure> {
        let (recipe, model) = (self.run.recipe, &self.run.model);
        let (data, config) = (&recipe.data, &recipe.eval);
        let loaded = questions::load(data, Set::Test, &self.run.questions, config.max_rejected_share)?;
        let mut provenance = BTreeMap::from([
            ("model".to_owned(), folder_name(&recipe.model.path)),
            ("model_sha256".to_owned(), model.sha256.clone()),
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
        let known_share = match &self.dataset {
            Some(dir) => known_shares(&idk_dataset_builder::read_labels(dir)?),
            None => BTreeMap::new(),
        };
        let prepared = self.prepare(&loaded)?;
        let val = self.val(&mut provenance)?;
        let samples = self.samples(&prepared, val.as_ref())?;
        let probe = self.labelled()?;
        let subject = Subject {
            lalm: &model.lalm,
            features: &model.features,
            model_sha256: &model.sha256,
            device: &model.device,
            adapters: &self.adapters,
            known_share: &known_share,
            run_dir: self.run_dir.as_deref(),
            val: val.as_ref(),
            samples: samples.as_ref(),
            probe: probe.as_ref(),
            provenance: &provenance,
        };
        Ok(evaluate(&subject, &prepared, config, data.seed, &self.eval_dir, progress)?)
    }

    fn prepare(&self, loaded: &LoadedQuestions) -> Result<Prepared, Failure> {
        self.prepare_as(&loaded.set, &self.run.recipe.eval)
    }

    fn prepare_as(&self, set: &QuestionSet, config: &EvalConfig) -> Result<Prepared, Failure> {
        let recipe = self.run.recipe;
        let (build, seed) = (&recipe.build, recipe.data.seed);
        let (style, refusals) = (build.prompt, build.refusal_texts());
        Ok(prepare(&self.run.model.answerer(), set, config, style, refusals, seed, progress)?)
    }

    /// Samples of the base model on the questions of test and val, if the recipe has a method that is made from them.
    fn samples(&self, test: &Prepared, val: Option<&Prepared>) -> Result<Option<Samples>, Failure> {
        let recipe = self.run.recipe;
        let Some(val) = val.filter(|_| recipe.eval.needs_samples()) else {
            return Ok(None);
        };
        let of = |set: &Prepared| samples::sample(&self.run.model, recipe, set, &self.eval_dir);
        Ok(Some(Samples { test: of(test)?, val: of(val)? }))
    }

    /// The questions of the IDK dataset, asked as they were when it was built, if the recipe has `probe`.
    fn labelled(&self) -> Result<Option<LabelledQuestions>, Failure> {
        let recipe = self.run.recipe;
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
        let recipe = self.run.recipe;
        if !recipe.eval.fits_on_val() {
            return Ok(None);
        }
        // Whatever their task: the test set, too, is answered whole.
        let data = DataSection { tasks: Vec::new(), ..recipe.data.clone() };
        let max_rejected = recipe.eval.max_rejected_share;
        let loaded = questions::load(&data, Set::Val, &self.run.questions, max_rejected)?;
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
        run,
        adapters: load_adapters(&named, &run.model.lalm)?,
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
