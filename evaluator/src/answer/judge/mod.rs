//! Answers to open questions, judged by a model behind a server (`[eval.judge]`). What it replies is one of three words; else
//! the exact rule counts.

mod stored_verdicts;
mod verdict;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use idk_common::chat::Message;
use idk_common::identity::sha256_of;
use idk_common::progress::NewProgress;
use idk_questions::{AskedQuestion, Judgement, Question};
use idk_server::{Decoding, Server, ServerError, ServerPrompt};
use serde_json::json;

use crate::answer::judge::stored_verdicts::StoredVerdicts;
use crate::answer::judge::verdict::read_verdict;
use crate::answer::prepare::Prepared;
use crate::answer::prompts::template::PromptTemplate;
use crate::answer::record::{Answer, ModelJudgement};
use crate::config::{EvalConfig, JudgeConfig};
use crate::error::EvalError;

/// Version of the keys; raised when the same inputs would give other verdicts.
const FORMAT: u32 = 1;

/// Verdicts that are stored together: what an interrupted evaluation asks for again is less.
const BATCH: usize = 32;

/// Placeholders of the prompt.
const PLACEHOLDERS: [&str; 3] = ["question", "references", "answer"];

/// A model that judges answers to open questions.
pub(crate) struct OpenJudge {
    server: Server,
    template: PromptTemplate,
    decoding: Decoding,
    sha256: String,
    verdicts: RefCell<StoredVerdicts>,
}

impl JudgeConfig {
    /// The prompt.
    ///
    /// # Errors
    /// [`EvalError::Common`] for a file that cannot be read, [`EvalError::Template`].
    pub(crate) fn template(&self) -> Result<PromptTemplate, EvalError> {
        if self.prompt.as_os_str().is_empty() {
            let text = include_str!("../../../prompts/judge.txt");
            return PromptTemplate::parse(text, &PLACEHOLDERS, Path::new("judge"));
        }
        let text = idk_common::fs::read_to_string(&self.prompt)?;
        PromptTemplate::parse(&text, &PLACEHOLDERS, &self.prompt)
    }
}

impl EvalConfig {
    /// Reads the files of prompts that are named, and forgets them.
    ///
    /// # Errors
    /// [`EvalError::Common`] for a file that cannot be read, [`EvalError::Template`].
    pub fn check_prompts(&self) -> Result<(), EvalError> {
        self.prompts.check()?;
        self.judge.template().map(drop)
    }
}

impl OpenJudge {
    /// The judge of `config` with the verdicts that are stored in `eval_dir`; `None` if there is none. Nothing is sent yet.
    ///
    /// # Errors
    /// [`EvalError::Server`] for a setting that cannot be used; those of the prompt.
    pub(crate) fn open(config: &JudgeConfig, eval_dir: &Path) -> Result<Option<Self>, EvalError> {
        let Some(settings) = config.server() else { return Ok(None) };
        let (server, template) = (Server::open(&settings)?, config.template()?);
        let decoding = Decoding {
            choices: 1,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            max_new_tokens: config.max_new_tokens,
            stop_token_ids: Vec::new(),
        };
        let identity =
            json!([FORMAT, settings.model, settings.api, template.sha256(), config.max_new_tokens]);
        let sha256 = sha256_of(&identity);
        let verdicts = RefCell::new(StoredVerdicts::open(eval_dir, &settings.model, &sha256));
        Ok(Some(Self { server, template, decoding, sha256, verdicts }))
    }

    /// The name of its model, and the SHA-256 of that, its prompt and its settings.
    pub(crate) fn identity(&self) -> (&str, &str) {
        (&self.server.settings().model, &self.sha256)
    }

    /// SHA-256 of its prompt.
    pub(crate) fn prompt_sha256(&self) -> &str {
        self.template.sha256()
    }

    /// Judges the answers to the open questions that have a right answer; the others stay as they are. `label` is for the
    /// progress bar.
    ///
    /// # Errors
    /// [`EvalError::Server`] for an answer that the server does not judge; the verdicts before are kept.
    pub(crate) fn judge(
        &self,
        label: &str,
        prepared: &Prepared,
        answers: &mut [Answer],
        progress: NewProgress,
    ) -> Result<(), EvalError> {
        let is_judged = |asked: &AskedQuestion| asked.original.is_open() && asked.original.is_answerable();
        let cases: Vec<(usize, &Question)> = prepared
            .questions
            .iter()
            .enumerate()
            .filter(|(_, asked)| is_judged(asked))
            .map(|(place, asked)| (place, &asked.original))
            .collect();
        // The same text is judged once, whoever said it.
        let mut missing: BTreeMap<String, ServerPrompt> = BTreeMap::new();
        for &(place, question) in &cases {
            let key = key(question, &answers[place].text);
            if self.verdicts.borrow().find(&key).is_none() {
                missing.insert(key, self.prompt(question, &answers[place].text));
            }
        }
        let missing: Vec<(String, ServerPrompt)> = missing.into_iter().collect();
        if !missing.is_empty() {
            let bar = progress(&format!("verdicts on {label}"), missing.len() as u64);
            for batch in missing.chunks(BATCH) {
                self.ask(batch, &|| bar.inc(1))?;
            }
            bar.finish();
        }
        for (place, question) in cases {
            let answer = &mut answers[place];
            let verdict = self.verdicts.borrow().find(&key(question, &answer.text)).flatten();
            answer.by_model = Some(ModelJudgement { verdict, rule: answer.judgement.verdict });
            if let Some(verdict) = verdict {
                answer.judgement = Judgement::from(verdict);
            }
        }
        Ok(())
    }

    fn prompt(&self, question: &Question, answer: &str) -> ServerPrompt {
        let references = references(question).join("\n");
        let text = self.template.fill(|name| match name {
            "question" => &question.question,
            "references" => &references,
            _ => answer,
        });
        ServerPrompt {
            id: question.id.clone(),
            messages: vec![Message::user(0, &text)],
            ..ServerPrompt::default()
        }
    }

    /// Asks for verdicts and stores them.
    fn ask(&self, batch: &[(String, ServerPrompt)], judged: &(dyn Fn() + Sync)) -> Result<(), EvalError> {
        let prompt = |place: usize| Ok::<_, ServerError>(batch[place].1.clone());
        let never = AtomicBool::new(false);
        let replies = self.server.answer_all(batch.len(), &self.decoding, &never, &prompt, judged)?;
        let mut verdicts = self.verdicts.borrow_mut();
        for ((key, _), replies) in batch.iter().zip(replies.unwrap_or_default()) {
            let reply = replies.first().map(|reply| reply.text.as_str()).unwrap_or_default();
            verdicts.insert(key.clone(), read_verdict(reply), reply);
        }
        verdicts.save()
    }
}

/// The right answers.
fn references(question: &Question) -> Vec<&str> {
    std::iter::once(&question.answer).chain(&question.aliases).map(String::as_str).collect()
}

/// What a verdict depends on besides the judge.
fn key(question: &Question, answer: &str) -> String {
    sha256_of(&json!([question.question, references(question), answer]))
}
