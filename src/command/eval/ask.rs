//! `idk-eval ask`: one question about recordings, answered by the base model or with an adapter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use idk_common::RunDir;
use idk_common::paths::find;
use idk_common::progress::Progress;
use idk_common::text::terminal_safe;
use idk_evaluator::{
    Backend, EvalConfig, EvalError, Method, SampleSettings, Served, SingleAnswer, answer_single, prepare,
};
use idk_questions::{Question, QuestionSet, reason};
use serde::Serialize;

use crate::command::args::{Overrides, load_recipe_or_run, whole_number};
use crate::recipe::Recipe;
use crate::run::{AnsweringModel, EvaluatedModel, RunError};
use crate::stage::evaluate::load_adapters;
use crate::terminal::{Failure, print_result};

/// Most samples of one question.
const MAX_SAMPLES: u32 = 1000;

/// Of the only question of its set.
const ID: &str = "question";

/// Options of `idk-eval ask`.
#[derive(Args)]
pub(super) struct AskArguments {
    /// The question, without its options
    question: String,
    /// Recording that the question is about; repeatable, in the order of hearing
    #[arg(long, required = true, value_name = "FILE")]
    audio: Vec<PathBuf>,
    /// Options, separated by commas; repeatable; a JSON array of texts where an option has a comma
    #[arg(long, value_name = "A,B,...")]
    choices: Vec<String>,
    /// Number of samples to draw as well, with the settings of [build]
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = sample_count)]
    samples: u32,
    /// Recipe, or folder of a finished run: its model, settings and adapter
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// Base model folder, instead of a recipe's [default: checkpoints/mini-lalm]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Adapter folder (PEFT) [default with a recipe: the run's own]
    #[arg(long)]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

fn sample_count(text: &str) -> Result<u32, String> {
    match whole_number(text)? {
        count if count <= MAX_SAMPLES => Ok(count),
        _ => Err(format!("give at most {MAX_SAMPLES}")),
    }
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    question: String,
    choices: Vec<String>,
    /// Folder name of the adapter that answered.
    adapter: Option<String>,
    #[serde(flatten)]
    answer: SingleAnswer,
    /// What the base model says, where an adapter answered.
    base: Option<SingleAnswer>,
}

impl AskArguments {
    /// Answers the question and prints what is known about the answer.
    ///
    /// # Errors
    /// Options that cannot be used; a recording, model or adapter that cannot be read.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let question = self.question()?;
        // Before gigabytes are loaded.
        for recording in &self.audio {
            drop(idk_common::fs::open(recording)?);
        }
        let recipe = self.recipe()?;
        let adapter = self.adapter(&recipe);
        let model = AnsweringModel::load(&recipe)?;
        let evaluated = model.evaluated()?;
        let base = self.answer(&recipe, &question, &evaluated.backend)?;
        let adapted = match &adapter {
            Some(place) => Some(self.adapted(&recipe, &question, &evaluated, place)?),
            None => None,
        };
        let (answer, base) = match adapted {
            Some(answer) => (answer, Some(base)),
            None => (base, None),
        };
        let report = Report {
            question: question.question,
            choices: question.choices,
            adapter: adapter.as_deref().map(|path| path.display().to_string()),
            answer,
            base,
        };
        Ok(print_result(json, &report, || report.lines().join("\n"))?)
    }

    /// What the model says with the adapter in a folder, or with one that the server has (`server:NAME`).
    fn adapted(
        &self,
        recipe: &Recipe,
        question: &Question,
        model: &EvaluatedModel<'_>,
        place: &Path,
    ) -> Result<SingleAnswer, Failure> {
        let on_server = place.to_str().and_then(|place| place.strip_prefix("server:"));
        match (&model.backend, on_server) {
            (Backend::Served(base), Some(name)) => {
                self.answer(recipe, question, &Backend::Served(Served { adapter: Some(name), ..*base }))
            }
            (Backend::Local(base), None) => {
                let named = (Method::Adapter.name().to_owned(), place.to_owned());
                let adapters = load_adapters(&[named], base.lalm)?;
                let Some(adapter) = adapters.first() else {
                    return self.answer(recipe, question, &model.backend);
                };
                self.answer(recipe, question, &base.clone().adapted(&adapter.adapters)?.into())
            }
            _ => {
                let what =
                    "--adapter: a folder for a model in this program, `server:ITS_NAME` for one of a server";
                Err(RunError::usage(what).into())
            }
        }
    }

    /// What `backend` says, with the settings of `[eval]`, and its samples with those of `[build]`.
    fn answer(
        &self,
        recipe: &Recipe,
        question: &Question,
        backend: &Backend<'_>,
    ) -> Result<SingleAnswer, Failure> {
        let build = &recipe.build;
        // Methods are left out: only the plain question is asked, and it must fit.
        let config = EvalConfig {
            methods: Vec::new(),
            shuffle_options: false,
            max_rejected_share: 0.0,
            ..recipe.eval.clone()
        };
        let set = QuestionSet { questions: vec![question.clone()], rejected: Vec::new() };
        let (style, refusals) = (build.prompt, build.refusal_texts());
        let prepared =
            prepare(backend, &set, &config, style, refusals, recipe.seed, |_, _| Progress::hidden());
        let prepared = match prepared {
            // Of a single question nobody wants to know how many of its set were rejected.
            Err(EvalError::TooManyRejected { reasons, .. }) => return Err(cannot_ask(reasons).into()),
            prepared => prepared?,
        };
        let samples = (self.samples > 0).then(|| SampleSettings {
            count: self.samples as usize,
            decoding: build.sampling(),
            guided: build.guided,
            seed: recipe.seed,
        });
        Ok(answer_single(backend, &prepared, &config, samples.as_ref())?)
    }

    /// The recipe that is named, or all defaults.
    fn recipe(&self) -> Result<Recipe, Failure> {
        let mut recipe = match &self.recipe {
            Some(path) => load_recipe_or_run(path, &self.overrides)?,
            None => {
                let mut recipe = Recipe::parse("", Path::new("(defaults)"), &self.overrides.assignments())?;
                if recipe.model.has_folder() {
                    recipe.model.path = find(&recipe.model.path, None);
                }
                recipe
            }
        };
        if let Some(model) = &self.model {
            model.clone_into(&mut recipe.model.path);
        }
        Ok(recipe)
    }

    /// The adapter that is named, else that of the recipe's own run and model.
    fn adapter(&self, recipe: &Recipe) -> Option<PathBuf> {
        let of_run = || {
            let own = RunDir::new(&recipe.output.dir).adapter();
            let is_local = recipe.model.server_url.is_empty() && self.model.is_none();
            Some(own).filter(|path| is_local && self.recipe.is_some() && path.is_dir())
        };
        self.adapter.clone().or_else(of_run)
    }

    /// # Errors
    /// [`RunError::Usage`] for options that cannot be told apart.
    fn question(&self) -> Result<Question, RunError> {
        if self.question.trim().is_empty() {
            return Err(RunError::usage("the question is empty"));
        }
        let mut choices: Vec<String> = Vec::new();
        for given in &self.choices {
            choices.extend(options(given)?);
        }
        for (place, choice) in choices.iter().enumerate() {
            if choice.is_empty() {
                return Err(RunError::usage("--choices: an option is empty"));
            }
            if choices[..place].contains(choice) {
                return Err(RunError::usage(format!("--choices: `{choice}` is given twice")));
            }
        }
        if choices.len() == 1 {
            return Err(RunError::usage(format!("--choices: `{}` is the only option", choices[0])));
        }
        Ok(Question {
            id: ID.to_owned(),
            audio: self.audio.clone(),
            question: self.question.clone(),
            choices,
            ..Question::default()
        })
    }
}

/// Why a question cannot be asked, by the reasons for which it was rejected.
fn cannot_ask(reasons: BTreeMap<String, (usize, String)>) -> RunError {
    let (code, (_, why)) = reasons.into_iter().next().unwrap_or_default();
    let hint = match code.as_str() {
        reason::PROMPT_TOO_LONG => "ask a shorter question, or give fewer options or a shorter recording",
        reason::RESERVED_TOKEN => "leave the special token out of the question and its options",
        _ => {
            "give a recording in WAV, FLAC, Ogg Vorbis or MP3; docs/reference/recordings.md lists what is read"
        }
    };
    RunError::CannotAsk { why: why.replacen(&format!("`{ID}`: "), "", 1), hint }
}

/// The options in one `--choices`.
fn options(given: &str) -> Result<Vec<String>, RunError> {
    if given.trim_start().starts_with('[') {
        return serde_json::from_str(given).map_err(|error| {
            RunError::usage(format!("--choices: `{given}` is not a JSON array of texts: {error}"))
        });
    }
    Ok(given.split(',').map(|option| option.trim().to_owned()).collect())
}

impl Report {
    fn lines(&self) -> Vec<String> {
        let mut lines = answer_lines("answer", &self.answer);
        if let Some(base) = &self.base {
            lines.push(String::new());
            lines.extend(answer_lines("base says", base));
        }
        lines
    }
}

/// An answer and what is known about it; `label` names its first line.
fn answer_lines(label: &str, answer: &SingleAnswer) -> Vec<String> {
    let line = |label: &str, text: &str| format!("{label:<10} {}", terminal_safe(text));
    let read = match (answer.refuses, &answer.option) {
        (true, _) => "a refusal".to_owned(),
        (false, Some(option)) => format!("the option `{option}`"),
        (false, None) if answer.texts.is_empty() => "no refusal".to_owned(),
        (false, None) => "none of the options, and no refusal".to_owned(),
    };
    let mut lines = vec![line(label, &answer.text), line("read as", &read)];
    if let Some(log_prob) = answer.log_prob {
        lines.push(line("log-prob.", &format!("{log_prob:.3}")));
    }
    for (place, text) in answer.texts.iter().enumerate() {
        let label = if place == 0 { "options" } else { "" };
        lines.push(line(label, &format!("{:5.1} %  {}", 100.0 * text.probability, text.text)));
    }
    if let Some(samples) = &answer.samples {
        let text = format!(
            "{} of {} agree with the answer, {} refuse",
            samples.agree, samples.count, samples.refuse
        );
        lines.push(line("samples", &text));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_separated_by_commas_or_are_a_json_array() {
        assert_eq!(options("dog, cat").unwrap(), ["dog", "cat"]);
        assert_eq!(options(r#"["a dog, barking","cat"]"#).unwrap(), ["a dog, barking", "cat"]);
        assert!(options("[dog").is_err());
    }
}
