//! A server that is ready to be asked, and the patience with which it is asked.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::error::ServerError;
use crate::failure::{ServerFailure, ServerFault, error_message, excerpt};
use crate::http::{HttpClient, HttpReply, NoReply, STOP_POLL};
use crate::reply::{Expected, ServerAnswer, answers};
use crate::request::{Decoding, ServerPrompt, body};
use crate::retry::{MAX_ASKED_WAIT, asked_wait, backoff, is_passing};
use crate::settings::{ServerLogProbs, ServerSettings};
use crate::url::ServerUrl;

/// Wait before the second attempt, at most; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// An OpenAI-compatible server.
pub struct Server {
    url: ServerUrl,
    http: HttpClient,
    /// Never printed.
    api_key: Option<String>,
    pub(crate) settings: ServerSettings,
    /// What the server puts behind every answer; asked for once.
    pub(crate) answer_end: Mutex<Option<Vec<u32>>>,
    pub(crate) first_wait: Duration,
}

/// What became of one attempt.
enum Attempt {
    Done(Vec<u8>),
    /// It may be otherwise next time; the server may have said when.
    Again(Trouble, Option<Duration>),
    /// It would be the same the next time.
    Never(Trouble),
}

struct Trouble {
    fault: ServerFault,
    status: Option<u16>,
    what: String,
}

impl Server {
    /// The server of `settings`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ServerError::Setting`] for a URL that is none, an API key's variable that is not set, or a file of certificates
    /// (the variable `SSL_CERT_FILE`) that cannot be read.
    pub fn open(settings: &ServerSettings) -> Result<Self, ServerError> {
        let wrong = |key, what| ServerError::Setting { key, what };
        let url = ServerUrl::parse(&settings.url).map_err(|what| wrong("server_url", what))?;
        let api_key = match settings.key_env.as_str() {
            "" => None,
            name => Some(api_key(name).map_err(|what| wrong("server_key_env", what))?),
        };
        let roots = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
        let http =
            HttpClient::new(&url, api_key.as_deref(), settings.timeout, roots.as_deref().map(Path::new))
                .map_err(|what| wrong("server_url", format!("has no TLS: {what}")))?;
        Ok(Self {
            url,
            http,
            api_key,
            settings: settings.clone(),
            answer_end: Mutex::new(None),
            first_wait: FIRST_WAIT,
        })
    }

    /// How it was opened.
    #[must_use]
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// The answers to one prompt, in the order of their seeds; `None` if `stopped` said so before they came.
    ///
    /// # Errors
    /// [`ServerError::Unanswered`] after the last attempt, or for a reply that is not what was asked for;
    /// [`ServerError::Clips`] before anything is sent.
    pub fn answer(
        &self,
        prompt: &ServerPrompt,
        decoding: &Decoding,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<ServerAnswer>>, ServerError> {
        let body = Arc::from(body(&self.settings, prompt, decoding)?);
        let Some(reply) = self.ask(&prompt.id, &body, prompt.seed, stopped)? else { return Ok(None) };
        let expected = Expected {
            choices: decoding.choices,
            max_new_tokens: prompt.max_new_tokens(decoding),
            log_probs: self.settings.log_probs != ServerLogProbs::None,
            prompt_ids: prompt.token_ids.as_deref(),
            only: &prompt.only,
            letters: prompt.letters(&self.settings),
        };
        let answers =
            answers(&reply, &expected).map_err(|(fault, what)| self.unusable(&prompt.id, fault, what))?;
        Ok(Some(answers))
    }

    /// Sends a request until it is answered, as often as the settings allow; `None` if `stopped` said so meanwhile.
    ///
    /// # Errors
    /// [`ServerError::Unanswered`] with the failure of the last attempt; [`ServerError::Thread`].
    pub(crate) fn ask(
        &self,
        question_id: &str,
        body: &Arc<[u8]>,
        seed: u64,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<u8>>, ServerError> {
        for attempt in 1.. {
            let Some(reply) = self.http.post(body, stopped).map_err(ServerError::Thread)? else { break };
            let (trouble, wait) = match reply.map_or_else(unanswered, judge) {
                Attempt::Done(reply) => return Ok(Some(reply)),
                Attempt::Again(trouble, wait) if attempt <= self.settings.max_retries => (trouble, wait),
                Attempt::Again(trouble, _) | Attempt::Never(trouble) => {
                    return Err(self.failure(question_id, attempt, trouble).into());
                }
            };
            let wait = wait.unwrap_or_default();
            if wait > MAX_ASKED_WAIT {
                let what = format!("it asks to wait {} s: {}", wait.as_secs(), trouble.what);
                return Err(self.failure(question_id, attempt, Trouble { what, ..trouble }).into());
            }
            if !sleep(wait.max(backoff(self.first_wait, seed, attempt)), stopped) {
                break;
            }
        }
        Ok(None)
    }

    fn failure(&self, question_id: &str, attempts: u32, trouble: Trouble) -> Box<ServerFailure> {
        let Trouble { fault, status, what } = trouble;
        let url = self.url.to_string();
        let question = question_id.to_owned();
        Box::new(ServerFailure { fault, url, question, status, attempts, what: self.without_key(what) })
    }

    /// A reply that came, but is of no use.
    pub(crate) fn unusable(&self, question_id: &str, fault: ServerFault, what: String) -> Box<ServerFailure> {
        self.failure(question_id, 1, Trouble { fault, status: Some(200), what })
    }

    /// Some servers repeat the key that they refuse.
    fn without_key(&self, what: String) -> String {
        match &self.api_key {
            Some(key) => what.replace(key, "***"),
            None => what,
        }
    }
}

/// What a whole reply means for its request.
fn judge(reply: HttpReply) -> Attempt {
    let fault = match reply.status {
        200..=299 => return Attempt::Done(reply.body),
        401 | 403 => ServerFault::Denied,
        // A server that knows the path explains what it has not found.
        404 if error_message(&reply.body).is_some() => ServerFault::NoSuchModel,
        300..=399 | 404 | 405 | 410 => ServerFault::WrongUrl,
        status if is_passing(status) => ServerFault::Failing,
        _ => ServerFault::Refused,
    };
    let trouble = Trouble { fault, status: Some(reply.status), what: excerpt(&reply.body) };
    if fault == ServerFault::Failing {
        Attempt::Again(trouble, asked_wait(&reply))
    } else {
        Attempt::Never(trouble)
    }
}

fn unanswered(NoReply { fault, what }: NoReply) -> Attempt {
    let trouble = Trouble { fault, status: None, what };
    if fault == ServerFault::Unreachable { Attempt::Again(trouble, None) } else { Attempt::Never(trouble) }
}

/// The key in the environment variable `name`.
fn api_key(name: &str) -> Result<String, String> {
    let key = match std::env::var(name) {
        Ok(key) => key.trim().to_owned(),
        Err(std::env::VarError::NotPresent) => String::new(),
        Err(std::env::VarError::NotUnicode(_)) => return Err(format!("`{name}` does not hold text")),
    };
    if key.is_empty() {
        return Err(format!("names `{name}`, but that environment variable is not set"));
    }
    // Else it could end the header and begin another.
    if key.chars().all(|c| c.is_ascii_graphic()) {
        Ok(key)
    } else {
        Err(format!("names `{name}`, which holds more than the letters of a key"))
    }
}

/// Waits, but no longer once `stopped` says so; gives whether the whole time has passed.
fn sleep(wait: Duration, stopped: &dyn Fn() -> bool) -> bool {
    let end = Instant::now() + wait;
    loop {
        if stopped() {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(STOP_POLL));
    }
}
