//! A server that is ready to be asked, and the patience with which it is asked.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use idk_common::Problem;

use super::failure::{ServerFailure, ServerFault, error_message, excerpt};
use super::http::{Connector, HttpReply};
use super::retry::{MAX_ASKED_WAIT, asked_wait, backoff, is_passing};
use super::url::ServerUrl;
use crate::config::{BuildConfig, SECTION, Sampler};
use crate::error::BuildError;

/// Wait before the second attempt, at most; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// A waiting thread looks this often whether the build goes on.
const GLANCE: Duration = Duration::from_millis(50);

/// An OpenAI-compatible server as `[build]` describes it.
pub(crate) struct Server {
    url: ServerUrl,
    connector: Connector,
    /// Value of the `Authorization` header. Never printed: it holds the API key.
    authorization: Option<String>,
    pub(super) model: String,
    pub(super) concurrency: usize,
    timeout: Duration,
    max_retries: u32,
    pub(super) first_wait: Duration,
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
    /// The server of a config, or `None` if the local model is sampled. Nothing is sent yet.
    ///
    /// # Errors
    /// [`BuildError::Config`] for a URL that is none, an API key's variable that is not set, or a file of certificates
    /// (the variable `SSL_CERT_FILE`) that cannot be read.
    pub(crate) fn open(config: &BuildConfig) -> Result<Option<Self>, BuildError> {
        if config.sampler == Sampler::Local {
            return Ok(None);
        }
        let wrong = |key: &str, what: String| BuildError::Config {
            problems: vec![Problem::of_key(SECTION, key, what)],
        };
        let url = ServerUrl::parse(&config.server_url).map_err(|what| wrong("server_url", what))?;
        let authorization = match config.server_key_env.as_str() {
            "" => None,
            name => Some(format!("Bearer {}", api_key(name).map_err(|what| wrong("server_key_env", what))?)),
        };
        let roots = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
        let connector = Connector::new(&url, roots.as_deref().map(Path::new))
            .map_err(|what| wrong("server_url", format!("has no TLS: {what}")))?;
        Ok(Some(Self {
            url,
            connector,
            authorization,
            model: config.server_model.clone(),
            concurrency: config.server_concurrency,
            timeout: Duration::from_secs(config.server_timeout_s),
            max_retries: config.server_max_retries,
            first_wait: FIRST_WAIT,
        }))
    }

    /// Sends a request until it is answered, as often as the recipe allows; `None` if `stop` was set meanwhile.
    ///
    /// # Errors
    /// [`ServerFailure`] of the last attempt.
    pub(super) fn ask(
        &self,
        question_id: &str,
        body: &[u8],
        run_seed: u64,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<u8>>, Box<ServerFailure>> {
        for attempt in 1.. {
            let (trouble, wait) = match self.attempt(body) {
                Attempt::Done(reply) => return Ok(Some(reply)),
                Attempt::Again(trouble, wait) if attempt <= self.max_retries => (trouble, wait),
                Attempt::Again(trouble, _) | Attempt::Never(trouble) => {
                    return Err(self.failure(question_id, attempt, trouble));
                }
            };
            let wait = wait.unwrap_or_default();
            if wait > MAX_ASKED_WAIT {
                let what = format!("it asks to wait {} s: {}", wait.as_secs(), trouble.what);
                return Err(self.failure(question_id, attempt, Trouble { what, ..trouble }));
            }
            if !sleep(wait.max(backoff(self.first_wait, run_seed, question_id, attempt)), stop) {
                break;
            }
        }
        Ok(None)
    }

    fn attempt(&self, body: &[u8]) -> Attempt {
        match self.connector.post(&self.url, self.authorization.as_deref(), body, self.timeout) {
            Ok(reply) => self.judge(reply),
            Err(error) => self.unanswered(&error),
        }
    }

    fn judge(&self, reply: HttpReply) -> Attempt {
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

    fn unanswered(&self, error: &io::Error) -> Attempt {
        let what = match error.kind() {
            ErrorKind::TimedOut => format!("no reply within {} s", self.timeout.as_secs()),
            _ => error.to_string(),
        };
        let trouble = |fault| Trouble { fault, status: None, what };
        match error.kind() {
            ErrorKind::InvalidData => Attempt::Never(trouble(ServerFault::NotHttp)),
            ErrorKind::InvalidInput => Attempt::Never(trouble(ServerFault::WrongUrl)),
            _ => Attempt::Again(trouble(ServerFault::Unreachable), None),
        }
    }

    fn failure(&self, question_id: &str, attempts: u32, trouble: Trouble) -> Box<ServerFailure> {
        let Trouble { fault, status, what } = trouble;
        let url = self.url.to_string();
        let question = question_id.to_owned();
        Box::new(ServerFailure { fault, url, question, status, attempts, what: self.without_key(what) })
    }

    /// A reply that came, but is of no use.
    pub(super) fn unusable(&self, question_id: &str, fault: ServerFault, what: String) -> Box<ServerFailure> {
        self.failure(question_id, 1, Trouble { fault, status: Some(200), what })
    }

    /// Some servers repeat the key that they refuse.
    fn without_key(&self, what: String) -> String {
        match self.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer ")) {
            Some(key) => what.replace(key, "***"),
            None => what,
        }
    }
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

/// Waits, but not on when `stop` is set; says whether to go on.
fn sleep(wait: Duration, stop: &AtomicBool) -> bool {
    let end = Instant::now() + wait;
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(GLANCE));
    }
}
