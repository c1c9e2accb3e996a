//! One POST by `ureq`, with a deadline for the whole of it and limits on what comes back.
//!
//! A request here takes seconds of a GPU, so a pool of connections would save nothing; no redirect is followed and no
//! proxy is used, since an API key must not go where the recipe does not send it.

mod early_reply;

use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use ureq::http::{HeaderMap, HeaderValue, Response, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, DefaultConnector};
use ureq::{Agent, Body, Error, Timeout};

use self::early_reply::EarlyReply;
use crate::failure::{MAX_ERROR_BYTES, ServerFault};
use crate::url::ServerUrl;

/// Longest head of a reply: stops a peer that sends headers without end. `ureq` itself reads 128 headers at most.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Longest body of a reply; 128 answers of 1,000 tokens with their log-probabilities need a fifth of it. Stops a peer
/// that fills the memory.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// A connection that is not made after this time will not be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A thread that waits for a reply looks this often whether it is to stop.
pub(crate) const STOP_POLL: Duration = Duration::from_millis(50);

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    /// The `Retry-After` header.
    pub(crate) retry_after: Option<String>,
    /// The `Date` header.
    pub(crate) date: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why no whole reply came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoReply {
    pub(crate) fault: ServerFault,
    pub(crate) what: String,
}

/// Sends requests to one address.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    agent: Agent,
    url: String,
    /// Marked as sensitive: no log shows it.
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

impl HttpClient {
    /// Trusts Mozilla's roots and the certificates of the PEM file `extra_roots`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate, or the key has letters that a header may not have.
    pub(crate) fn new(
        url: &ServerUrl,
        api_key: Option<&str>,
        timeout: Duration,
        extra_roots: Option<&Path>,
    ) -> Result<Self, String> {
        let authorization = api_key.map(|key| HeaderValue::from_str(&format!("Bearer {key}"))).transpose();
        let mut authorization = authorization.map_err(|error| error.to_string())?;
        authorization.iter_mut().for_each(|value| value.set_sensitive(true));
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_idle_connections(0)
            .max_response_header_size(MAX_HEAD_BYTES)
            .user_agent(concat!("idk/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(timeout))
            .timeout_connect(Some(timeout.min(CONNECT_TIMEOUT)));
        if url.is_https() {
            let roots = RootCerts::Specific(Arc::new(trusted_roots(extra_roots)?));
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let connector = DefaultConnector::default().chain(EarlyReply);
        let agent = Agent::with_parts(config.build(), connector, DefaultResolver::default());
        Ok(Self { agent, url: url.to_string(), authorization, timeout })
    }

    /// Sends `body` and reads the whole reply; `None` if `stopped` said so before it came.
    ///
    /// The exchange has a thread of its own, as no part of it can be relied on to end early: it is left to its timeout
    /// when nobody waits for it any more.
    ///
    /// # Errors
    /// The outer one: the system gives no thread. The inner one: no whole reply came.
    pub(crate) fn post(
        &self,
        body: &Arc<[u8]>,
        stopped: &dyn Fn() -> bool,
    ) -> io::Result<Option<Result<HttpReply, NoReply>>> {
        let (sender, receiver) = channel();
        let (client, body) = (self.clone(), Arc::clone(body));
        let thread = std::thread::Builder::new().spawn(move || {
            // The receiver is gone when the run was stopped.
            let _ = sender.send(client.exchange(&body));
        })?;
        loop {
            match receiver.recv_timeout(STOP_POLL) {
                Ok(result) => return Ok(Some(result)),
                Err(RecvTimeoutError::Timeout) if stopped() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => match thread.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(()) => {
                        return Err(io::Error::other("the thread of the request ended without a result"));
                    }
                },
            }
        }
    }

    fn exchange(&self, body: &[u8]) -> Result<HttpReply, NoReply> {
        let mut request = self
            .agent
            .post(&self.url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let reply = request.send(body).map_err(|error| self.no_reply(error, "closed unanswered"))?;
        check_framing(reply.headers())?;
        self.read(reply)
    }

    fn read(&self, reply: Response<Body>) -> Result<HttpReply, NoReply> {
        let (head, body) = reply.into_parts();
        let too_long = body.content_length().is_some_and(|length| length > MAX_BODY_BYTES);
        let body = body.into_with_config();
        let body = if head.status.is_success() {
            if too_long {
                Err(Error::BodyExceedsLimit(MAX_BODY_BYTES))
            } else {
                body.limit(MAX_BODY_BYTES).read_to_vec()
            }
        } else {
            let mut start = Vec::new();
            let read = body.limit(u64::MAX).reader().take(MAX_ERROR_BYTES as u64).read_to_end(&mut start);
            read.map(|_| start).map_err(Error::from)
        };
        let text =
            |name| head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok(HttpReply {
            status: head.status.as_u16(),
            retry_after: text(header::RETRY_AFTER),
            date: text(header::DATE),
            body: body.map_err(|error| self.no_reply(error, "closed in the middle of the reply"))?,
        })
    }

    /// `closed` says what it means here that the connection ended.
    fn no_reply(&self, error: Error, closed: &str) -> NoReply {
        let (fault, what) = match error {
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                let seconds = self.timeout.min(CONNECT_TIMEOUT).as_secs();
                (ServerFault::Unreachable, format!("no connection within {seconds} s"))
            }
            Error::Timeout(_) => {
                (ServerFault::Unreachable, format!("no reply within {} s", self.timeout.as_secs()))
            }
            Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
                (ServerFault::Unreachable, format!("the connection was {closed}"))
            }
            // What rustls says of a certificate comes as such an error.
            Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
                (ServerFault::NotHttp, error.to_string())
            }
            Error::Io(error) => (ServerFault::Unreachable, error.to_string()),
            Error::HostNotFound => (ServerFault::Unreachable, "the host name has no address".to_owned()),
            Error::ConnectionFailed => (ServerFault::Unreachable, "no connection".to_owned()),
            Error::BodyExceedsLimit(_) => {
                (ServerFault::TooLarge, format!("the reply is longer than {} MiB", MAX_BODY_BYTES >> 20))
            }
            Error::LargeResponseHeader(..) => (
                ServerFault::TooLarge,
                format!("the head of the reply is longer than {} KiB", MAX_HEAD_BYTES >> 10),
            ),
            Error::Protocol(ureq_proto::Error::HttpParseTooManyHeaders) => {
                (ServerFault::TooLarge, "the reply has too many headers".to_owned())
            }
            Error::Protocol(error) => (ServerFault::NotHttp, format!("the reply is not HTTP: {error}")),
            Error::BadUri(_) | Error::Http(_) => (ServerFault::WrongUrl, error.to_string()),
            error => (ServerFault::NotHttp, error.to_string()),
        };
        NoReply { fault, what }
    }
}

/// Mozilla's roots and the certificates of a PEM file.
fn trusted_roots(extra: Option<&Path>) -> Result<Vec<Certificate<'static>>, String> {
    let mozilla =
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|certificate| Certificate::from_der(certificate));
    let mut roots: Vec<Certificate<'static>> = mozilla.collect();
    let Some(path) = extra else { return Ok(roots) };
    let pem = idk_common::fs::read(path).map_err(|error| error.to_string())?;
    let before = roots.len();
    for item in parse_pem(&pem) {
        let item = item.map_err(|error| format!("{}: {error}", path.display()))?;
        if let PemItem::Certificate(certificate) = item {
            roots.push(certificate);
        }
    }
    if roots.len() == before {
        Err(format!("{}: it holds no certificate", path.display()))
    } else {
        Ok(roots)
    }
}

/// Rejects a reply whose length could be read in two ways (RFC 9112, section 6.3).
fn check_framing(headers: &HeaderMap) -> Result<(), NoReply> {
    let not_http = |what: String| Err(NoReply { fault: ServerFault::NotHttp, what });
    let codings: Vec<&HeaderValue> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    match codings.as_slice() {
        [] if lengths > 1 => not_http(format!("the reply has {lengths} lengths")),
        [coding] if lengths > 0 => {
            not_http(format!("the reply has a length and the transfer coding {coding:?}"))
        }
        [] => Ok(()),
        [coding] if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        codings => not_http(format!("the reply has the transfer codings {codings:?}, not chunked alone")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::time::Instant;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::fake::{Act, FakeServer};

    fn client(url: &str, timeout: Duration) -> HttpClient {
        HttpClient::new(&ServerUrl::parse(url).unwrap(), None, timeout, None).unwrap()
    }

    fn post(client: &HttpClient, body: &[u8]) -> Result<HttpReply, NoReply> {
        client.post(&Arc::from(body), &|| false).unwrap().unwrap()
    }

    /// What becomes of a reply of these bytes, after which the server closes the connection.
    fn read(reply: &[u8]) -> Result<HttpReply, NoReply> {
        let reply = reply.to_vec();
        let server = FakeServer::start(move |_, _| Act::Raw(reply.clone()));
        post(&client(&server.url, Duration::from_secs(20)), b"{}")
    }

    #[test]
    fn bodies_by_length_by_chunks_and_to_the_end_are_read_whole() {
        let by_length = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nRetry-After:  7 \r\n\r\nhello, and more";
        let reply = read(by_length).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"hello".as_slice()));
        assert_eq!(reply.retry_after.as_deref(), Some("7"));
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
        assert_eq!(read(chunked).unwrap().body, b"hello");
        assert_eq!(read(b"HTTP/1.0 503 Busy\r\n\r\nhello").unwrap().body, b"hello");
        let after_continue = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(read(after_continue).unwrap().body, b"ok");
    }

    #[test]
    fn a_reply_that_ends_early_is_not_taken_for_a_whole_one() {
        let unanswered = "the connection was closed unanswered";
        let cut = "the connection was closed in the middle of the reply";
        for (text, expected) in [
            (b"".as_slice(), unanswered),
            (b"HTTP/1.1 200 OK\r\nContent-Le", unanswered),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", cut),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", cut),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", cut),
        ] {
            let NoReply { fault, what } = read(text).unwrap_err();
            assert_eq!(
                (fault, what.as_str()),
                (ServerFault::Unreachable, expected),
                "{}",
                text.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_not_http_or_has_two_readings_is_rejected() {
        for text in [
            b"220 ready for mail\r\n\r\n".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert_eq!(read(text).unwrap_err().fault, ServerFault::NotHttp, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_reply_that_is_too_large_is_rejected_before_it_is_read() {
        let head = |lines: String| format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes();
        let headers =
            |count: usize| (0..count).map(|number| format!("x-{number}: 1\r\n")).collect::<String>();
        for text in [
            head(headers(129)),
            head(format!("x: {}\r\n", "a".repeat(MAX_HEAD_BYTES))),
            head("Content-Length: 67108865\r\n".to_owned()),
        ] {
            let NoReply { fault, what } = read(&text).unwrap_err();
            assert_eq!(fault, ServerFault::TooLarge, "{what}");
        }
        assert_eq!(read(&head(headers(100) + "Content-Length: 0\r\n")).unwrap().body, b"");
        let mut chunks = head("Transfer-Encoding: chunked\r\n".to_owned());
        for _ in 0..65 {
            chunks.extend_from_slice(b"100000\r\n");
            chunks.resize(chunks.len() + (1 << 20), b'a');
            chunks.extend_from_slice(b"\r\n");
        }
        assert_eq!(read(&chunks).unwrap_err().fault, ServerFault::TooLarge);
    }

    #[test]
    fn of_an_error_page_only_the_beginning_is_read() {
        let mut reply = b"HTTP/1.1 500 X\r\n\r\n".to_vec();
        reply.resize(reply.len() + (1 << 20), b'a');
        assert_eq!(read(&reply).unwrap().body, vec![b'a'; MAX_ERROR_BYTES]);
    }

    #[test]
    fn a_reply_that_comes_byte_by_byte_has_no_more_time_than_any_other() {
        for head in ["Transfer-Encoding: chunked\r\n\r\n", "Content-Length: 999\r\n\r\n", "x: "] {
            let reply = format!("HTTP/1.1 200 OK\r\n{head}{}", "1\r\na\r\n".repeat(100)).into_bytes();
            let server = FakeServer::start(move |_, _| Act::Drip(reply.clone(), Duration::from_millis(40)));
            let started = Instant::now();
            let no_reply = post(&client(&server.url, Duration::from_secs(1)), b"{}").unwrap_err();
            let expected =
                NoReply { fault: ServerFault::Unreachable, what: "no reply within 1 s".to_owned() };
            assert_eq!(no_reply, expected, "{head}");
            assert!(started.elapsed() < Duration::from_millis(1900), "{:?}", started.elapsed());
        }
    }

    #[test]
    fn a_server_that_answers_before_it_has_read_the_request_is_heard() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(b"HTTP/1.1 413 X\r\nContent-Length: 8\r\n\r\ntoo long").unwrap();
        });
        // More than the buffers of both sockets hold.
        let reply = post(&client(&url, Duration::from_secs(20)), &vec![b'a'; 64 << 20]).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (413, b"too long".as_slice()));
        server.join().unwrap();
    }

    #[test]
    fn waiting_for_a_silent_server_ends_when_it_is_told_to() {
        let silent = FakeServer::start(|_, _| Act::Late(Duration::from_secs(60), Box::new(Act::Hang)));
        let started = Instant::now();
        let stopped = || started.elapsed() > Duration::from_millis(200);
        let result = client(&silent.url, Duration::from_secs(60)).post(&Arc::from(*b"{}"), &stopped);
        assert_eq!(result.unwrap(), None);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }

    fn tls_fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
    }

    /// Takes two connections; answers the requests of those that trust it.
    fn tls_server() -> (ServerUrl, std::thread::JoinHandle<Vec<String>>) {
        let certificate = CertificateDer::from_pem_file(tls_fixture("localhost.pem")).unwrap();
        let key = idk_common::fs::read(&tls_fixture("localhost.key.der")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.try_into().unwrap())
            .unwrap();
        let listener = TcpListener::bind("localhost:0").unwrap();
        let url = format!("https://localhost:{}/v1", listener.local_addr().unwrap().port());
        let serve = move || {
            let mut asked = Vec::new();
            for socket in listener.incoming().take(2) {
                let tls = ServerConnection::new(Arc::new(config.clone())).unwrap();
                let mut stream = StreamOwned::new(tls, socket.unwrap());
                let mut request = vec![0; 4096];
                let Ok(length) = stream.read(&mut request) else { continue };
                asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                stream.flush().unwrap();
            }
            asked
        };
        (ServerUrl::parse(&url).unwrap(), std::thread::spawn(serve))
    }

    #[test]
    fn tls_goes_to_a_server_whose_certificate_is_trusted_and_to_no_other() {
        let (url, server) = tls_server();
        let ask = |roots: Option<&Path>| {
            let client = HttpClient::new(&url, Some("secret"), Duration::from_secs(10), roots).unwrap();
            assert!(!format!("{client:?}").contains("secret"));
            post(&client, b"{}")
        };
        let NoReply { fault, what } = ask(None).unwrap_err();
        assert_eq!(fault, ServerFault::NotHttp);
        assert!(what.contains("UnknownIssuer"), "{what}");
        assert_eq!(ask(Some(&tls_fixture("localhost.pem"))).unwrap().body, b"ok");
        let asked = server.join().unwrap();
        assert_eq!(asked.len(), 1, "the key was sent to a server that is not trusted");
        assert!(asked[0].contains("authorization: Bearer secret\r\n"), "{}", asked[0]);
    }

    #[test]
    fn a_file_of_certificates_that_cannot_be_used_is_named() {
        let url = ServerUrl::parse("https://localhost").unwrap();
        let key = tls_fixture("localhost.key.der");
        for path in [Path::new("/nowhere/ca.pem"), &key] {
            let error = HttpClient::new(&url, None, Duration::from_secs(1), Some(path)).unwrap_err();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }
}
