//! Who answers: the base model with every method, and adapters; each answer is looked up in the store first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use idk_common::progress::NewProgress;
use idk_model::Adapters;

use crate::answer::ask::explicit_option::refusals_of;
use crate::answer::ask::own_answer::OwnAnswers;
use crate::answer::ask::{Item, MethodRunner};
use crate::answer::judge::OpenJudge;
use crate::answer::key::candidate_key;
use crate::answer::prepare::Prepared;
use crate::answer::prompts::Prompts;
use crate::answer::record::Answer;
use crate::answer::run::answer_all;
use crate::answer::store::Store;
use crate::backend::{Backend, Served};
use crate::config::EvalConfig;
use crate::doubt::samples::Samples;
use crate::error::EvalError;
use crate::method::{Candidate, Method};

/// An adapter that is compared with the base model.
#[derive(Clone, Debug)]
pub struct NamedAdapter {
    /// Its name in tables and file names; see [`crate::is_adapter_name`].
    pub name: String,
    /// Its tensors.
    pub adapters: Adapters,
    /// SHA-256 of its files: what stored answers are known by. Its scales, as they are in memory, count besides.
    pub sha256: String,
}

/// Questions of which is known how often the base model is wrong.
#[derive(Clone, Debug)]
pub struct LabelledQuestions {
    /// The questions.
    pub prepared: Prepared,
    /// For each of them the share of samples that are not right, 0 to 1.
    pub wrong_share: Vec<f64>,
}

/// What is evaluated, besides the questions.
#[derive(Clone)]
pub struct Subject<'a> {
    /// The base model.
    pub backend: Backend<'a>,
    /// SHA-256 of its files: what stored answers are known by.
    pub model_sha256: &'a str,
    /// Where it runs: other devices round differently.
    pub device: &'a str,
    /// The trained adapters, if there are any.
    pub adapters: &'a [NamedAdapter],
    /// Adapters that the server of the base model has: the name of each in tables, and that on the server.
    pub served_adapters: &'a [(String, String)],
    /// The share of questions of each group that the base model knows ([`crate::known_shares`]); empty if unknown.
    pub known_share: &'a BTreeMap<String, f64>,
    /// The folder of the run whose evaluation this is: the report shows its sweeps and its training too.
    pub run_dir: Option<&'a Path>,
    /// The prepared questions that the thresholds of measures of doubt are fitted on.
    pub val: Option<&'a Prepared>,
    /// Samples of the base model on both sets, for the measures that are made from them.
    pub samples: Option<&'a Samples>,
    /// The IDK split, for `probe`.
    pub probe: Option<&'a LabelledQuestions>,
    /// Names and hashes of model, adapter and questions, copied to `results.json`.
    pub provenance: &'a BTreeMap<String, String>,
    /// Once it is set, no further batch is answered: the evaluation ends with [`EvalError::Stopped`].
    pub stop: Option<&'a AtomicBool>,
}

/// An evaluation in progress.
pub(crate) struct Evaluation<'a> {
    pub(crate) subject: &'a Subject<'a>,
    pub(crate) config: &'a EvalConfig,
    pub(crate) prompts: &'a Prompts,
    /// Judges answers to open questions instead of the exact rule.
    pub(crate) judge: Option<&'a OpenJudge>,
    pub(crate) eval_dir: &'a Path,
    pub(crate) progress: NewProgress,
}

impl Evaluation<'_> {
    /// The answers of one that runs a model.
    pub(crate) fn answers(&self, who: &Candidate, prepared: &Prepared) -> Result<Vec<Answer>, EvalError> {
        if who.method != Method::Adapter {
            return self.answers_of(&who.name, who.method, None, prepared);
        }
        let served = self.subject.served_adapters.iter().find(|(name, _)| *name == who.name);
        if let (Backend::Served(base), Some((_, adapter))) = (&self.subject.backend, served) {
            let backend = Backend::Served(Served { adapter: Some(adapter), ..*base });
            return self.run(&who.name, who.method, &backend, None, prepared, None);
        }
        let adapter = self.subject.adapters.iter().find(|adapter| adapter.name == who.name);
        self.answers_of(&who.name, who.method, adapter, prepared)
    }

    /// The answers of a method, with the adapter that is given; `label` is for the progress bar.
    ///
    /// # Errors
    /// [`EvalError::Model`], [`EvalError::Server`], [`EvalError::Common`]; [`EvalError::Lacks`] for an adapter of this
    /// program where a server answers.
    pub(crate) fn answers_of(
        &self,
        label: &str,
        method: Method,
        adapter: Option<&NamedAdapter>,
        prepared: &Prepared,
    ) -> Result<Vec<Answer>, EvalError> {
        let backend = match (&self.subject.backend, adapter) {
            (base, None) => base.clone(),
            (Backend::Local(base), Some(adapter)) => Backend::Local(base.clone().adapted(&adapter.adapters)?),
            (Backend::Served(_), Some(adapter)) => {
                let what = format!("cannot load `{}` into a server", adapter.name);
                let hint =
                    "have the server load it and name it `NAME=server:ITS_NAME`, or serve the merged model";
                return Err(EvalError::Lacks { method: Method::Adapter.name(), what, hint });
            }
        };
        let adapter_sha256 = adapter.map(|adapter| adapter.sha256.as_str());
        self.run(label, method, &backend, adapter_sha256, prepared, None)
    }

    /// What the base model says about its own answers.
    ///
    /// # Errors
    /// As [`Evaluation::answers_of`].
    pub(crate) fn about_answers(
        &self,
        method: Method,
        prepared: &Prepared,
        own_answers: &OwnAnswers,
    ) -> Result<Vec<Answer>, EvalError> {
        self.run(method.name(), method, &self.subject.backend, None, prepared, Some(own_answers))
    }

    /// The base model's hidden states of every question's prompt, of the layers and positions of `[eval.probe]`.
    ///
    /// # Errors
    /// [`EvalError::Model`].
    pub(crate) fn states(&self, label: &str, prepared: &Prepared) -> Result<Vec<Vec<f32>>, EvalError> {
        let runner = MethodRunner {
            backend: &self.subject.backend,
            method: Method::Base,
            prompts: self.prompts,
            style: prepared.style,
            refusals: &prepared.refusals,
            with_options: false,
            own_answers: None,
            config: self.config,
        };
        let depth = self.subject.backend.lalm().map_or(0, |lalm| lalm.config.text.num_hidden_layers);
        let layers = self.config.probe.layers_of(depth);
        let bar = (self.progress)(&format!("hidden states of {label}"), prepared.questions.len() as u64);
        let items: Vec<Item<'_>> = prepared.items().collect();
        let mut states = Vec::with_capacity(items.len());
        for batch in items.chunks(self.config.batch_size) {
            states.extend(runner.states(batch, &layers, &self.config.probe.positions)?);
            bar.inc(batch.len() as u64);
        }
        bar.finish();
        Ok(states)
    }

    fn run(
        &self,
        label: &str,
        method: Method,
        backend: &Backend<'_>,
        adapter_sha256: Option<&str>,
        prepared: &Prepared,
        own_answers: Option<&OwnAnswers>,
    ) -> Result<Vec<Answer>, EvalError> {
        let runner = MethodRunner {
            backend,
            method,
            prompts: self.prompts,
            style: prepared.style,
            refusals: &refusals_of(method, self.prompts, &prepared.refusals),
            // The threshold rule refuses by the base model's option probabilities; a curve is made of both.
            with_options: matches!(method, Method::Base | Method::Adapter | Method::ExplicitOption),
            own_answers,
            config: self.config,
        };
        let key = candidate_key(&runner, self.subject.model_sha256, self.subject.device, adapter_sha256);
        let store = Store::open(self.eval_dir, &key)?;
        let bar = (self.progress)(&format!("answers of {label}"), prepared.questions.len() as u64);
        let mut answers = answer_all(&runner, prepared, &key, Some(&store), self.subject.stop, &bar)?;
        bar.finish();
        // What the model says about its answers is read by the measure that asks.
        if let Some(judge) = self.judge.filter(|_| own_answers.is_none()) {
            judge.judge(label, prepared, &mut answers, self.progress)?;
        }
        Ok(answers)
    }
}
