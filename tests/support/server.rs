//! A server of the tests' own: it speaks just enough HTTP, keeps what it was asked, and fails as it is told.
#![allow(dead_code, reason = "each test program uses its own part of this file")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What the server does with a request.
pub(crate) enum Act {
    /// Answers with a status, further header lines and a body.
    Say(u16, &'static str, String),
    /// Sends these bytes, which are a whole reply.
    Raw(Vec<u8>),
    /// Sends these bytes one by one, with this time between them.
    Drip(Vec<u8>, Duration),
    /// Waits before it answers.
    Late(Duration, Box<Self>),
    /// Closes the connection unanswered.
    Hang,
    /// Promises a long body and closes after a few bytes.
    Break,
}

impl Act {
    /// A usable answer to `request`.
    pub(crate) fn good(request: &Value) -> Self {
        Self::Say(200, "", completion(request).to_string())
    }

    /// A status with an error in the shape of vLLM.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        let error = json!({"error": {"message": message, "type": "Error", "param": null, "code": status}});
        Self::Say(status, "", error.to_string())
    }
}

/// As many choices as asked for; the text of each is its seed.
pub(crate) fn completion(request: &Value) -> Value {
    let (n, seed) = (request["n"].as_u64().unwrap(), request["seed"].as_u64().unwrap());
    let token = json!({"token": "", "logprob": -0.25, "bytes": [], "top_logprobs": []});
    let choice = |index| {
        json!({"index": index, "finish_reason": "stop", "stop_reason": null, "logprobs": {"content": [token, token]},
               "message": {"role": "assistant", "content": format!("seed {}", seed + index)}})
    };
    json!({"id": "chatcmpl-1", "object": "chat.completion", "model": request["model"],
           "choices": (0..n).map(choice).collect::<Vec<_>>(), "prompt_token_ids": null})
}

/// What came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// A server on a free port of this machine; it ends with the test program.
pub(crate) struct FakeServer {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    most_at_once: Arc<AtomicUsize>,
}

impl FakeServer {
    /// Starts it; `script` gets the number of the request, from 0, and its body.
    pub(crate) fn start(script: impl Fn(usize, &Value) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (seen, most_at_once) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicUsize>::default());
        let (log, most) = (Arc::clone(&seen), Arc::clone(&most_at_once));
        std::thread::spawn(move || {
            let (script, now) = (Arc::new(script), Arc::<AtomicUsize>::default());
            for socket in listener.incoming() {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                std::thread::spawn(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // The client may be gone by now, which is its affair.
                    let _ = serve(socket.unwrap(), &log, |number, body| {
                        let act = script(number, body);
                        let done = || {
                            now.fetch_sub(1, Ordering::SeqCst);
                        };
                        (act, Box::new(done))
                    });
                });
            }
        });
        Self { url, seen, most_at_once }
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The most requests that were under way together.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

fn serve<'a>(
    mut socket: TcpStream,
    log: &Mutex<Vec<Seen>>,
    act: impl Fn(usize, &Value) -> (Act, Box<dyn FnOnce() + 'a>),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    // Names of headers have no case (RFC 9110, section 5.1).
    let length = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
    };
    let mut body = vec![0; head.lines().find_map(length).unwrap()];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let number = {
        let mut log = log.lock().unwrap();
        log.push(Seen { head, body: body.clone() });
        log.len() - 1
    };
    let (mut act, done) = act(number, &body);
    while let Act::Late(wait, then) = act {
        std::thread::sleep(wait);
        act = *then;
    }
    // Before the answer: the client may send its next request as soon as it has it.
    done();
    match act {
        Act::Say(status, headers, body) => write!(
            socket,
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
            body.len()
        ),
        Act::Raw(bytes) => socket.write_all(&bytes),
        Act::Drip(bytes, pause) => bytes.chunks(1).try_for_each(|byte| {
            std::thread::sleep(pause);
            socket.write_all(byte)
        }),
        Act::Break => write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{{\"choices\": ["),
        Act::Hang | Act::Late(..) => Ok(()),
    }
}
