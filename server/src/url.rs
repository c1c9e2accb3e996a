//! The server's address, as far as a client of one endpoint needs it.

/// `http://host:8000/v1`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
    /// Host name or address, without the brackets of an IPv6 address.
    pub(crate) host: String,
    /// 80 or 443 where none is written.
    pub(crate) port: u16,
    /// Path of the chat endpoint.
    pub(crate) path: String,
}

impl ServerUrl {
    /// Reads the base URL of an API, as other clients take it: `/v1` is added where there is no path.
    ///
    /// # Errors
    /// What is wrong with it, to be put after the key's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what}; write it as http://HOST:PORT/v1"));
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return wrong("must begin with http:// or https://"),
        };
        if rest.chars().any(|c| !c.is_ascii_graphic()) {
            return wrong("must not hold spaces, control characters or letters beyond ASCII");
        }
        if rest.contains(['?', '#']) {
            return wrong("must not hold a `?` or `#`");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return wrong("must not hold a password: name the variable of an API key in server_key_env");
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None => Some(if tls { 443 } else { 80 }),
            Some(digits) => digits.parse().ok().filter(|&port| port > 0),
        };
        let Some(port) = port else { return wrong("has a port that is no number from 1 to 65535") };
        if host.is_empty() {
            return wrong("names no host");
        }
        let base = match path.trim_end_matches('/') {
            "" => "/v1",
            base => base.strip_suffix("/chat/completions").unwrap_or(base),
        };
        Ok(Self { tls, host: host.to_owned(), port, path: format!("{base}/chat/completions") })
    }

    /// Host and port as they stand in a URL and in the `Host` header.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default = if self.tls { 443 } else { 80 };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.path)
    }
}

/// `[::1]:8000` and `host:8000` as host and port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return (host, rest.strip_prefix(':').or((!rest.is_empty()).then_some("")));
    }
    authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_becomes_the_chat_endpoint() {
        for (text, expected) in [
            ("http://gpu7:8000/v1", "http://gpu7:8000/v1/chat/completions"),
            ("http://gpu7:8000", "http://gpu7:8000/v1/chat/completions"),
            ("https://api.example.org/", "https://api.example.org/v1/chat/completions"),
            ("http://[::1]:80/a/b/", "http://[::1]/a/b/chat/completions"),
            ("http://h:443/v1/chat/completions", "http://h:443/v1/chat/completions"),
        ] {
            assert_eq!(ServerUrl::parse(text).unwrap().to_string(), expected, "{text}");
        }
        let url = ServerUrl::parse("https://[fe80::2]").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("fe80::2", 443));
    }

    #[test]
    fn a_url_that_cannot_be_a_server_says_what_is_wrong() {
        for (text, expected) in [
            ("", "must begin with"),
            ("gpu7:8000", "must begin with"),
            ("ftp://gpu7", "must begin with"),
            ("http://", "no host"),
            ("http://:8000/v1", "no host"),
            ("http://h:0", "port"),
            ("http://h:65536", "port"),
            ("http://[::1]8000", "port"),
            ("http://me:secret@h/v1", "password"),
            ("http://h/v1?key=1", "`?`"),
            ("http://h/v1 ", "spaces"),
            ("http://h\r\nX: y/v1", "control"),
        ] {
            let what = ServerUrl::parse(text).unwrap_err();
            assert!(what.contains(expected) && !what.contains("secret"), "{text}: {what}");
        }
    }
}
