//! The server's address, as far as a client of one endpoint needs it.

use ureq::http::Uri;

/// `http://host:8000/v1/chat/completions`: the chat endpoint of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    is_https: bool,
    /// Host and port as they stand in a URL; the port only where it is not the default one.
    authority: String,
    path: String,
}

impl ServerUrl {
    /// Reads the base URL of an API, as other clients take it: `/v1` is added where there is no path.
    ///
    /// # Errors
    /// What is wrong with it, to be put after the key's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what}; write it as http://HOST:PORT/v1"));
        let is_https = text.starts_with("https://");
        if !is_https && !text.starts_with("http://") {
            return wrong("must begin with http:// or https://");
        }
        if text.chars().any(|c| !c.is_ascii_graphic()) {
            return wrong("must not hold spaces, control characters or letters beyond ASCII");
        }
        if text.contains(['?', '#']) {
            return wrong("must not hold a `?` or `#`");
        }
        let authority = text.split('/').nth(2).unwrap_or_default();
        if authority.contains('@') {
            return wrong("must not hold a password: name the variable of an API key in server_key_env");
        }
        if authority.is_empty() || authority.starts_with(':') {
            return wrong("names no host");
        }
        let Ok(uri) = text.parse::<Uri>() else { return wrong("is not a URL with a host and a port") };
        let host = uri.host().unwrap_or_default();
        let default = if is_https { 443 } else { 80 };
        let port = match authority.strip_prefix(host) {
            Some("") => default,
            _ => uri.port_u16().unwrap_or(0),
        };
        if port == 0 {
            return wrong("has a port that is no number from 1 to 65535");
        }
        let base = match uri.path().trim_end_matches('/') {
            "" => "/v1",
            base => base.strip_suffix("/chat/completions").unwrap_or(base),
        };
        Ok(Self {
            is_https,
            authority: if port == default { host.to_owned() } else { format!("{host}:{port}") },
            path: format!("{base}/chat/completions"),
        })
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.is_https
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", if self.is_https { "https" } else { "http" }, self.authority, self.path)
    }
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
        assert!(ServerUrl::parse("https://[fe80::2]").unwrap().is_https());
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
