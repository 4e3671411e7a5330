//! Where a request may go: the configured URL, or one that the message names. Pure.
//!
//! Which of its addresses may be connected to is the `client`'s business, at the moment of connecting.

use plugin_api::{Error, Job, Result, serde_json};
use serde_json::Value;
use url::{Host, Url};

/// Where URLs come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The configuration.
    Fixed(Url),
    /// The message's JSON view, at this JSON pointer (RFC 6901); only these hosts.
    Message { pointer: String, allowed: Hosts },
}

impl Source {
    /// The URL for a job.
    ///
    /// # Errors
    ///
    /// Buries the job where its message names none, or one that is not allowed.
    pub(crate) fn url(&self, job: &Job<'_>) -> Result<Url> {
        let (pointer, allowed) = match self {
            Source::Fixed(url) => return Ok(url.clone()),
            Source::Message { pointer, allowed } => (pointer, allowed),
        };
        let message: Value = job.decode()?;
        let named = message.pointer(pointer).and_then(Value::as_str);
        let text = named.ok_or_else(|| {
            Error::bury(format_args!(
                "the message has no text at `{pointer}`, wanted a URL"
            ))
        })?;
        let url = parse(text)
            .map_err(|error| Error::bury(format_args!("the URL at `{pointer}` cannot be used: {error}")))?;
        if !allowed.contain(&url) {
            let host = url.host_str().unwrap_or_default();
            return Err(Error::bury(format_args!(
                "the URL at `{pointer}` leads to `{host}`, which is not in `allowed_hosts`"
            )));
        }
        Ok(url)
    }

    /// Whether the message names the URL.
    pub(crate) fn is_message(&self) -> bool {
        matches!(self, Source::Message { .. })
    }
}

/// Why a text is no URL that can be posted to. No text repeats the URL: one may hold a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("{0}")]
    Unreadable(String),
    #[error("its scheme is `{0}`, wanted `http` or `https`")]
    Scheme(String),
    #[error("it holds a user name or password, wanted a header such as `Authorization` instead")]
    Credentials,
}

/// Reads a URL.
pub(crate) fn parse(text: &str) -> Result<Url, UrlError> {
    usable(Url::parse(text).map_err(|error| UrlError::Unreadable(error.to_string()))?)
}

fn usable(mut url: Url) -> Result<Url, UrlError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    url.set_fragment(None);
    // The client has a reader of its own, which is a little stricter.
    match url.as_str().parse::<ureq::http::Uri>() {
        Ok(_) => Ok(url),
        Err(error) => Err(UrlError::Unreadable(error.to_string())),
    }
}

/// Scheme, host and port: what may be shown of a URL whose path or query may be a secret.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The hosts that a message, or a redirect, may lead to.
#[derive(Debug, Default)]
pub(crate) struct Hosts(Vec<Pattern>);

#[derive(Debug)]
enum Pattern {
    Exactly(String),
    /// Everything below a domain, not the domain itself. Begins with a dot.
    Below(String),
}

impl Hosts {
    /// Reads a list of `hooks.example.org` and `*.example.org`.
    ///
    /// # Errors
    ///
    /// The entry that is neither.
    pub(crate) fn read(entries: &[String]) -> Result<Hosts, String> {
        let patterns = entries.iter().map(|entry| {
            let (name, below) = match entry.strip_prefix("*.") {
                Some(domain) => (domain, true),
                None => (entry.as_str(), false),
            };
            let host = Host::parse(name).map_err(|_| entry.clone())?;
            match (below, host) {
                // A star elsewhere would be taken for a letter.
                (_, Host::Domain(domain)) if domain.contains('*') => Err(entry.clone()),
                (false, host) => Ok(Pattern::Exactly(without_root(&host.to_string()).to_owned())),
                (true, Host::Domain(domain)) => Ok(Pattern::Below(format!(".{}", without_root(&domain)))),
                (true, _) => Err(entry.clone()),
            }
        });
        patterns.collect::<Result<_, _>>().map(Hosts)
    }

    fn contain(&self, url: &Url) -> bool {
        let host = without_root(url.host_str().unwrap_or_default());
        self.0.iter().any(|pattern| match pattern {
            Pattern::Exactly(name) => name == host,
            Pattern::Below(domain) => host.ends_with(domain),
        })
    }
}

/// `example.org.` and `example.org` are the same host.
fn without_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Why a redirect is not followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedirectError {
    #[error("its `Location` cannot be used: {0}")]
    Location(UrlError),
    #[error("it leads to `{0}`, wanted the same scheme, host and port, or a host in `allowed_hosts`")]
    Elsewhere(String),
    #[error("it leads from https to http")]
    Downgrade,
}

/// Where a redirect leads, if it may be followed: to the same origin, or to an allowed host without losing TLS.
pub(crate) fn redirected(from: &Url, location: &str, allowed: &Hosts) -> Result<Url, RedirectError> {
    let unreadable =
        |error: url::ParseError| RedirectError::Location(UrlError::Unreadable(error.to_string()));
    let url = usable(from.join(location).map_err(unreadable)?).map_err(RedirectError::Location)?;
    if url.origin() == from.origin() {
        return Ok(url);
    }
    if from.scheme() == "https" && url.scheme() == "http" {
        return Err(RedirectError::Downgrade);
    }
    if allowed.contain(&url) {
        return Ok(url);
    }
    Err(RedirectError::Elsewhere(origin(&url)))
}

#[cfg(test)]
mod tests;
