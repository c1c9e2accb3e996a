//! One HTTP/1.1 POST over a connection of its own, with a deadline for the whole of it.
//!
//! A request here takes seconds of a GPU, so a pool of connections would save nothing; no redirect is followed, since
//! an API key must not go where the recipe does not send it. The heads are parsed by `httparse`, TLS is rustls.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::url::ServerUrl;

/// Longest head of a reply, and longest line of a chunked body: stops a peer that sends headers without end.
const MAX_HEAD_BYTES: u64 = 64 * 1024;

/// Longest body of a reply; 128 answers of 1,000 tokens with their log-probabilities need a fifth of it. Stops a peer
/// that fills the memory.
pub(crate) const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// Headers that a reply may have.
const MAX_HEADERS: usize = 128;

/// A connection that is not made after this time will not be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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

/// How a connection is made and secured.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// Trusts Mozilla's roots, and the certificates of the PEM file `extra_roots` beside them.
    pub(crate) fn new(url: &ServerUrl, extra_roots: Option<&Path>) -> Result<Self, String> {
        if !url.tls {
            return Ok(Self { tls: None });
        }
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = extra_roots {
            let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let pem = idk_common::atomic::read(path).map_err(|error| error.to_string())?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Some(Arc::new(config)) })
    }

    /// Sends `body` and reads the whole reply, all within `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when the time is over, [`ErrorKind::InvalidData`] for what is not HTTP or too long,
    /// else what the system says.
    pub(crate) fn post(
        &self,
        url: &ServerUrl,
        authorization: Option<&str>,
        body: &[u8],
        timeout: Duration,
    ) -> io::Result<HttpReply> {
        let deadline = Instant::now() + timeout;
        let socket = Timed { socket: connect(url, deadline)?, deadline };
        match &self.tls {
            None => exchange(socket, url, authorization, body),
            Some(config) => {
                let name = ServerName::try_from(url.host.clone())
                    .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
                let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                exchange(StreamOwned::new(tls, socket), url, authorization, body)
            }
        }
    }
}

/// The first address of the host that answers.
fn connect(url: &ServerUrl, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in (url.host.as_str(), url.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, time_left(deadline)?.min(CONNECT_TIMEOUT)) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A socket whose every operation ends by the deadline.
struct Timed {
    socket: TcpStream,
    deadline: Instant,
}

/// A socket whose time is over says `WouldBlock` on Unix.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(time_left(self.deadline)?))?;
        self.socket.read(buffer).map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(time_left(self.deadline)?))?;
        self.socket.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

fn exchange(
    mut stream: impl Read + Write,
    url: &ServerUrl,
    authorization: Option<&str>,
    body: &[u8],
) -> io::Result<HttpReply> {
    let key = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: idk/{}\r\nAccept: application/json\r\n{key}\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        url.path,
        url.authority(),
        env!("CARGO_PKG_VERSION"),
        body.len()
    );
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let sent = sent.and_then(|()| stream.flush());
    // A server that refuses a request may answer and close before it has read the body: its answer says more.
    let reply = read_reply(&mut BufReader::new(stream));
    match (sent, reply) {
        (Err(unsent), Err(_)) => Err(unsent),
        (_, reply) => reply,
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

fn read_reply(stream: &mut impl BufRead) -> io::Result<HttpReply> {
    loop {
        let head = read_head(stream)?;
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(&head).map_err(|error| invalid(&format!("the reply is not HTTP: {error}")))?;
        let status = parsed.code.ok_or_else(|| invalid("the reply has no status"))?;
        // 100 Continue and its like announce the true reply.
        if (100..200).contains(&status) {
            continue;
        }
        let header = |name: &str| {
            let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
        };
        let (retry_after, date) = (header("retry-after"), header("date"));
        let chunked = header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = header("content-length")
            .map(|value| value.parse::<u64>().map_err(|_| invalid("Content-Length is not a number")))
            .transpose()?;
        let body = match length {
            _ if chunked => read_chunks(stream)?,
            _ if status == 204 || status == 304 => Vec::new(),
            Some(length) => read_exactly(stream, length)?,
            None => read_up_to(stream, MAX_BODY_BYTES + 1)?,
        };
        check_length(body.len() as u64)?;
        return Ok(HttpReply { status, retry_after, date, body });
    }
}

/// The bytes up to and with the empty line.
fn read_head(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        stream.by_ref().take(MAX_HEAD_BYTES - before as u64).read_until(b'\n', &mut head)?;
        match &head[before..] {
            b"\r\n" | b"\n" if before > 0 => return Ok(head),
            line if line.ends_with(b"\n") => {}
            _ if head.len() as u64 >= MAX_HEAD_BYTES => return Err(invalid("the reply's head is too long")),
            [] if before == 0 => {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed unanswered"));
            }
            _ => return Err(cut_short()),
        }
    }
}

fn cut_short() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed in the middle of the reply")
}

fn check_length(bytes: u64) -> io::Result<()> {
    if bytes > MAX_BODY_BYTES { Err(invalid("the reply is too long")) } else { Ok(()) }
}

fn read_up_to(stream: &mut impl BufRead, bytes: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    stream.take(bytes).read_to_end(&mut body)?;
    Ok(body)
}

fn read_exactly(stream: &mut impl BufRead, bytes: u64) -> io::Result<Vec<u8>> {
    check_length(bytes)?;
    let body = read_up_to(stream, bytes)?;
    if (body.len() as u64) < bytes { Err(cut_short()) } else { Ok(body) }
}

/// A body that comes in pieces, each after a line with its size (RFC 9112, section 7.1).
fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        stream.by_ref().take(MAX_HEAD_BYTES).read_until(b'\n', &mut line)?;
        let size = match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((_, size))) => size,
            Ok(httparse::Status::Partial) => return Err(cut_short()),
            Err(_) => return Err(invalid("a chunk of the reply has no size")),
        };
        // The end; trailers are of no use here, and the connection is not used again.
        if size == 0 {
            return Ok(body);
        }
        check_length((body.len() as u64).saturating_add(size))?;
        body.extend(read_exactly(stream, size)?);
        read_exactly(stream, 2)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> io::Result<HttpReply> {
        read_reply(&mut BufReader::with_capacity(3, text))
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
        for text in [
            b"".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_not_http_or_too_long_is_refused_before_it_is_read() {
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'a'; 70_000]].concat();
        for text in [
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            &endless,
        ] {
            assert_eq!(read(text).unwrap_err().kind(), ErrorKind::InvalidData, "{:?}", &text[..20]);
        }
    }

    fn tls_fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
    }

    /// Takes two connections; answers the requests of those that trust it.
    fn tls_server() -> (ServerUrl, std::thread::JoinHandle<Vec<String>>) {
        let certificate = CertificateDer::from_pem_file(tls_fixture("localhost.pem")).unwrap();
        let key = idk_common::atomic::read(&tls_fixture("localhost.key.der")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.try_into().unwrap())
            .unwrap();
        let listener = std::net::TcpListener::bind("localhost:0").unwrap();
        let url = format!("https://localhost:{}/v1", listener.local_addr().unwrap().port());
        let serve = move || {
            let mut asked = Vec::new();
            for socket in listener.incoming().take(2) {
                let tls = rustls::ServerConnection::new(Arc::new(config.clone())).unwrap();
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
        let post = |roots: Option<&Path>| {
            let connector = Connector::new(&url, roots).unwrap();
            connector.post(&url, Some("Bearer secret"), b"{}", Duration::from_secs(10))
        };
        let error = post(None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        assert_eq!(post(Some(&tls_fixture("localhost.pem"))).unwrap().body, b"ok");
        let asked = server.join().unwrap();
        assert_eq!(asked.len(), 1, "the key was sent to a server that is not trusted");
        assert!(asked[0].contains("Authorization: Bearer secret\r\n"), "{}", asked[0]);
    }

    #[test]
    fn certificates_that_cannot_be_read_are_named() {
        let url = ServerUrl::parse("https://localhost").unwrap();
        let error = Connector::new(&url, Some(Path::new("/nowhere/ca.pem"))).unwrap_err();
        assert!(error.contains("/nowhere/ca.pem"), "{error}");
    }
}
