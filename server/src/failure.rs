//! What a server did instead of answering, in words for the person who runs the build.

use idk_common::diagnose::ExitKind;
use idk_common::text::{ellipsis, terminal_safe};
use serde_json::Value;

/// Characters of a reply that are shown.
const MAX_EXCERPT_CHARS: usize = 300;

/// A longer reply is not searched for a message: read as JSON it may take a hundred times its size.
pub(crate) const MAX_ERROR_BYTES: usize = 64 * 1024;

/// The kind of a failure, hence what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerFault {
    /// No connection, or no reply in time, however often it was tried.
    Unreachable,
    /// It is there, but said every time that it is busy or broken.
    Failing,
    /// There is no chat endpoint at the address.
    WrongUrl,
    /// It does not serve the model.
    NoSuchModel,
    /// It wants another API key.
    Denied,
    /// It takes requests, but not this one.
    Refused,
    /// The address speaks something else than HTTP, or TLS failed.
    NotHttp,
    /// Its reply is larger than a chat completion can be.
    TooLarge,
    /// It answered, but not with what was asked for.
    BadReply,
    /// Its prompt has other tokens than the local model folder makes.
    OtherPrompt,
    /// Its context is too small for the prompt and the longest answer.
    ContextTooSmall,
}

/// A question that the server did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("question `{}`: POST {url}: {}{}", terminal_safe(question), trouble(*status, *attempts), terminal_safe(what))]
pub struct ServerFailure {
    /// The kind of failure.
    pub fault: ServerFault,
    /// Where the request went.
    pub url: String,
    /// The question's id.
    pub question: String,
    /// Status of the last reply, if there was one.
    pub status: Option<u16>,
    /// How often the request was sent.
    pub attempts: u32,
    /// What is wrong, with the beginning of the reply where there is one.
    pub what: String,
}

fn trouble(status: Option<u16>, attempts: u32) -> String {
    let status = status.filter(|status| *status != 200).map(|status| format!("status {status}"));
    let attempts = (attempts > 1).then(|| format!("{attempts} attempts"));
    let parts: Vec<String> = status.into_iter().chain(attempts).collect();
    if parts.is_empty() { String::new() } else { format!("{}: ", parts.join(", ")) }
}

impl ServerFailure {
    /// The exit code that fits.
    #[must_use]
    pub fn exit_kind(&self) -> ExitKind {
        match self.fault {
            ServerFault::Unreachable | ServerFault::Failing => ExitKind::Io,
            ServerFault::WrongUrl | ServerFault::NoSuchModel | ServerFault::Denied => ExitKind::Usage,
            ServerFault::Refused
            | ServerFault::NotHttp
            | ServerFault::TooLarge
            | ServerFault::BadReply
            | ServerFault::OtherPrompt
            | ServerFault::ContextTooSmall => ExitKind::BadData,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self.fault {
            ServerFault::Unreachable => {
                "is the server up and its model loaded? look at `server_url` and `server_timeout_s`, then \
                 give the same command again"
            }
            ServerFault::Failing => {
                "look at the server's log; a server with a limit on queued requests counts each of the n_samples: \
                 lower `server_concurrency`, or raise `server_max_retries`"
            }
            ServerFault::WrongUrl => {
                "`server_url` must be the base of the API, e.g. http://localhost:8000/v1"
            }
            ServerFault::NoSuchModel => {
                "`server_model` must be the served name: see GET /v1/models of the server"
            }
            ServerFault::Denied => {
                "put the server's API key into an environment variable and its name into `server_key_env`"
            }
            ServerFault::Refused => {
                "look at the server's log; if it is this question alone, take it out of the question file"
            }
            ServerFault::NotHttp => {
                "look at http:// or https:// and the port in `server_url`; the certificate of one's own server is \
                 trusted if SSL_CERT_FILE names it"
            }
            ServerFault::TooLarge => {
                "no chat completion is that large: look at what answers at `server_url`; if it is the right \
                 server, lower `n_samples` or `max_new_tokens`"
            }
            ServerFault::BadReply => {
                "the server must give what was asked for, as vLLM does, or be asked for less (`server_log_probs`): see \
                 docs/guide/server.md"
            }
            ServerFault::OtherPrompt => {
                "[model] path must be the folder that is served, and the server must use its own chat template"
            }
            ServerFault::ContextTooSmall => {
                "serve the model with a larger context (`--max-model-len` of vLLM), or lower `max_new_tokens`"
            }
        }
        .to_owned()
    }
}

/// What the reply says: its error message, else its beginning.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = match error_message(body) {
        Some(message) => message,
        None => String::from_utf8_lossy(&body[..body.len().min(MAX_ERROR_BYTES)]).trim().to_owned(),
    };
    if text.is_empty() { "the reply is empty".to_owned() } else { ellipsis(&text, MAX_EXCERPT_CHARS) }
}

/// The message in the shapes that servers use: `{"error": {"message": ..}}` and `{"error": ".."}`.
pub(crate) fn error_message(body: &[u8]) -> Option<String> {
    let body = Some(body).filter(|body| body.len() <= MAX_ERROR_BYTES)?;
    let value: Value = serde_json::from_slice(body).ok()?;
    let error = value.get("error")?;
    error.get("message").unwrap_or(error).as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_which_question_where_what_and_nothing_to_the_terminal() {
        let failure = ServerFailure {
            fault: ServerFault::Failing,
            url: "http://h/v1/chat/completions".to_owned(),
            question: "q1".to_owned(),
            status: Some(503),
            attempts: 6,
            what: excerpt(b"{\"error\":{\"message\":\"busy \\u001b[2J\"}}"),
        };
        assert_eq!(
            failure.to_string(),
            "question `q1`: POST http://h/v1/chat/completions: status 503, 6 attempts: busy \\u{1b}[2J"
        );
    }

    #[test]
    fn excerpts_are_the_servers_message_or_the_beginning_of_the_reply() {
        assert_eq!(excerpt(br#"{"error":"Unauthorized"}"#), "Unauthorized");
        assert_eq!(excerpt(br#"{"detail":"Not Found"}"#), r#"{"detail":"Not Found"}"#);
        assert_eq!(excerpt(b" \n"), "the reply is empty");
        let html = format!("<html>{}", "x".repeat(1000));
        assert_eq!(excerpt(html.as_bytes()).chars().count(), 300);
        assert!(excerpt(&[0xff, b'a']).ends_with('a'));
        // Read as JSON, these 3 MB would take 100 times as much.
        let nested = format!("{{\"error\":\"no\",\"x\":[{}[]]}}", "[],".repeat(1_000_000));
        assert!(excerpt(nested.as_bytes()).starts_with("{\"error\":\"no\",\"x\":[[],"));
    }
}
