//! Fetches one file from an address that a player named, unless it is the one that is known. Bounded in size and time. Keeps
//! nothing, and names no address of its own.

use std::sync::Arc;
use std::time::Duration;

use bonfire_engine::ErrorClass;
use bonfire_proto::text::clean_to;
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Longest that it may take in all: 18 MB come through a slow line in that time.
const WHOLE: Duration = Duration::from_mins(5);
/// Longest until a server is connected to.
const CONNECT: Duration = Duration::from_secs(20);
/// Most bytes of an address in an error.
const SHOWN_MAX: usize = 200;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is the one that is known.
    Unchanged,
    /// It is this.
    New {
        /// All of it.
        bytes: Vec<u8>,
        /// What the server calls this version.
        etag: Option<String>,
    },
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server could not be reached, or the answer was cut, too long or none.
    #[error("fetching {url}: {why}")]
    Failed {
        /// The address.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// Nothing is there.
    #[error("nothing is at {url}")]
    Nothing {
        /// The address.
        url: String,
    },
    /// The server answers something else.
    #[error("fetching {url}: the server answers {status}")]
    Answer {
        /// The address.
        url: String,
        /// The number of its answer.
        status: u16,
    },
}

impl FetchError {
    /// Who can do something about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Failed { .. } => ErrorClass::Environment,
            Self::Nothing { .. } => ErrorClass::NotFound,
            Self::Answer { .. } => ErrorClass::Remote,
        }
    }

    /// Whether the same may succeed later without anyone changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Failed { .. } => true,
            Self::Nothing { .. } => false,
            Self::Answer { status, .. } => *status >= 500,
        }
    }
}

/// Fetches what is at the address. `known` is what the server called the version that is here. Blocks, for five minutes at
/// most.
///
/// # Errors
/// `FetchError`; also when there are more than `max` bytes.
pub fn get(url: &str, known: Option<&str>, max: usize) -> Result<Fetched, FetchError> {
    let shown = || clean_to(url, SHOWN_MAX);
    let failed = |e: ureq::Error| FetchError::Failed { url: shown(), why: e.to_string() };
    let mut request = agent(url.starts_with("https:")).get(url);
    if let Some(etag) = known {
        request = request.header("If-None-Match", etag);
    }
    let mut response = request.call().map_err(failed)?;
    match response.status() {
        StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(FetchError::Nothing { url: shown() }),
        other => return Err(FetchError::Answer { url: shown(), status: other.as_u16() }),
    }
    let etag = response.headers().get("etag").and_then(|v| v.to_str().ok()).map(str::to_owned);
    // As many bytes as the limit are too many already.
    let limit = (max as u64).saturating_add(1);
    let bytes = response.body_mut().with_config().limit(limit).read_to_vec().map_err(failed)?;
    Ok(Fetched::New { bytes, etag })
}

fn agent(is_tls: bool) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    if is_tls {
        // Those that this machine trusts; what cannot be read of them is one less to trust.
        let own = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<Certificate<'static>> = own.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
        tls = tls.root_certs(RootCerts::from(roots));
    }
    Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(WHOLE))
        .timeout_connect(Some(CONNECT))
        .max_redirects(5)
        .http_status_as_error(false)
        .user_agent(concat!("bonfire/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::{FetchError, Fetched, get};

    /// Answers one request so; the address.
    fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/m", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(&stream).lines().map(Result::unwrap);
            assert!(lines.take_while(|line| !line.is_empty()).count() > 0);
            (&stream).write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn what_is_there_is_fetched_with_what_the_server_calls_it() {
        let url = answering("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 2\r\n\r\nhi");
        let expected = Fetched::New { bytes: b"hi".to_vec(), etag: Some("\"a\"".to_owned()) };
        assert_eq!(get(&url, None, 2).unwrap(), expected);
    }

    #[test]
    fn more_than_is_wanted_less_than_was_said_and_other_answers_are_errors() {
        let long = answering("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfar too long");
        assert!(matches!(get(&long, None, 4), Err(FetchError::Failed { .. })));
        let cut = answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi");
        assert!(matches!(get(&cut, None, 99), Err(FetchError::Failed { .. })));
        let gone = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(get(&gone, None, 99), Err(FetchError::Nothing { .. })));
        let broken = answering("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        assert!(get(&broken, None, 99).is_err_and(|e| e.is_retryable()));
        assert!(get("http://", None, 99).is_err());
    }
}
