//! Sends requests over kept connections, and follows redirects as far as they are allowed.
//!
//! Whether an address may be used is decided where a name becomes addresses: the client connects to exactly the
//! addresses that were looked at there, so a name that changes its mind in between gains nothing. A connection that is
//! used again leads where it led when it was made.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use plugin_api::schemars::{self, JsonSchema};
use serde::Deserialize;
use ureq::{
    Agent, Body,
    http::{
        Response, StatusCode, Uri,
        header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
    },
    tls::TlsConfig,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};
use url::Url;

use crate::{
    address,
    answer::Answer,
    request::Request,
    target::{Hosts, RedirectError, origin, redirected},
};

/// How requests are sent.
#[derive(Debug)]
pub(crate) struct ClientSettings {
    /// For name resolution, connection and TLS.
    pub(crate) connect_timeout: Duration,
    /// For everything from the name resolution to the end of the answer, redirects included.
    pub(crate) timeout: Duration,
    /// How many bytes of an answer's body are kept.
    pub(crate) max_response_bytes: u64,
    /// How many redirects are followed for one request.
    pub(crate) redirects: u32,
    /// Which other hosts a redirect may lead to.
    pub(crate) allowed: Hosts,
    pub(crate) private_addresses: PrivateAddresses,
    /// How many unused connections are kept.
    pub(crate) pool_size: usize,
    /// How long an unused connection is kept.
    pub(crate) idle: Duration,
    /// `None` where no request can need it.
    pub(crate) tls: Option<TlsConfig>,
}

/// Whether addresses that are not on the internet may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrivateAddresses {
    /// They may.
    Allow,
    /// Only global unicast addresses are connected to.
    Deny,
}

/// The client; slots share its connections.
pub(crate) struct Client {
    agent: Agent,
    timeout: Duration,
    max_response_bytes: u64,
    redirects: u32,
    allowed: Hosts,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("asked to give up before {0} was called")]
    Cancelled(String),
    #[error("{to} was not reached: {reason}")]
    Denied { to: String, reason: Denied },
    #[error("no answer from {to}: {reason}")]
    NoAnswer { to: String, reason: String },
    #[error("{from} answered {status} with a redirect that is not followed: {reason}")]
    Redirect {
        from: String,
        status: u16,
        reason: RedirectError,
    },
    #[error("{from} answered {status}, after {followed} redirects one too many")]
    TooManyRedirects {
        from: String,
        status: u16,
        followed: u32,
    },
}

impl Failure {
    /// Whether the target must not be reached, now or later.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Failure::Denied { .. } | Failure::Redirect { .. })
    }
}

/// A name whose addresses are all private.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("its address {0} is private, and `private_addresses` is `deny`")]
pub(crate) struct Denied(IpAddr);

impl Client {
    /// Makes the client; connects to nothing.
    pub(crate) fn new(settings: ClientSettings) -> Client {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy would connect to addresses that nobody here has looked at.
            .proxy(None)
            .user_agent(concat!("asynccall-http/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(settings.connect_timeout))
            .max_idle_connections(settings.pool_size)
            .max_idle_connections_per_host(settings.pool_size)
            .max_idle_age(settings.idle);
        if let Some(tls) = settings.tls {
            config = config.tls_config(tls);
        }
        let gate = Gate {
            names: DefaultResolver::default(),
            private_addresses: settings.private_addresses,
        };
        Client {
            agent: Agent::with_parts(config.build(), DefaultConnector::new(), gate),
            timeout: settings.timeout,
            max_response_bytes: settings.max_response_bytes,
            redirects: settings.redirects,
            allowed: settings.allowed,
        }
    }

    /// Sends a request and reads the answer.
    ///
    /// `cancelled` is asked before each request; one that is under way runs to its end or its time-out.
    ///
    /// # Errors
    ///
    /// [`Failure`] where there is no answer. Every status is an answer.
    pub(crate) fn post(
        &self,
        url: &Url,
        request: &Request<'_>,
        cancelled: impl Fn() -> bool,
    ) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let mut url = url.clone();
        let mut followed = 0;
        loop {
            if cancelled() {
                return Err(Failure::Cancelled(origin(&url)));
            }
            let left = self.timeout.saturating_sub(begun.elapsed());
            let response = self.send(&url, request, left)?;
            let status = response.status();
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            // Only these two keep method and body (RFC 9110, section 15.4).
            let keeps_method = matches!(
                status,
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
            );
            let Some(location) = location.filter(|_| keeps_method && self.redirects > 0) else {
                return Ok(self.read(url, response));
            };
            let from = || origin(&url);
            if followed == self.redirects {
                return Err(Failure::TooManyRedirects {
                    from: from(),
                    status: status.as_u16(),
                    followed,
                });
            }
            url = redirected(&url, location, &self.allowed).map_err(|reason| Failure::Redirect {
                from: from(),
                status: status.as_u16(),
                reason,
            })?;
            followed += 1;
        }
    }

    fn send(&self, url: &Url, request: &Request<'_>, left: Duration) -> Result<Response<Body>, Failure> {
        let mut builder = self.agent.post(url.as_str());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let sent = builder
            .config()
            .timeout_global(Some(left))
            .build()
            .send(request.body);
        sent.map_err(|error| failure(origin(url), error))
    }

    /// What is kept of a response. The status has decided already: a body that breaks off is only not whole.
    fn read(&self, url: Url, response: Response<Body>) -> Answer {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header(RETRY_AFTER).map(str::to_owned);
        let json = header(CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            kind == "application/json" || kind.ends_with("+json")
        });
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let limit = self.max_response_bytes;
        let mut reader = response.into_body().into_reader().take(limit.saturating_add(1));
        let ended = reader.read_to_end(&mut body).is_ok();
        let kept = usize::try_from(limit).unwrap_or(usize::MAX);
        let whole = ended && body.len() <= kept;
        body.truncate(kept);
        Answer {
            url,
            status,
            retry_after,
            json,
            body,
            whole,
        }
    }
}

/// Why there is no answer; the texts name no URL, whose path may be a secret.
fn failure(to: String, error: ureq::Error) -> Failure {
    let reason = match error {
        ureq::Error::Other(inner) => match inner.downcast::<Denied>() {
            Ok(reason) => return Failure::Denied { to, reason: *reason },
            Err(other) => other.to_string(),
        },
        ureq::Error::Timeout(what) => format!("time-out ({what})"),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => "the URL cannot be used".to_owned(),
        ureq::Error::HostNotFound => "the host is not known".to_owned(),
        other => other.to_string(),
    };
    Failure::NoAnswer { to, reason }
}

/// Looks names up, and lets through only the addresses that may be connected to.
#[derive(Debug)]
struct Gate {
    names: DefaultResolver,
    private_addresses: PrivateAddresses,
}

impl Resolver for Gate {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = match literal(uri) {
            // The resolver would start a thread for its time-out only to read the number.
            Some(address) => {
                let mut found = self.empty();
                found.push(address);
                found
            }
            None => self.names.resolve(uri, config, timeout)?,
        };
        if self.private_addresses == PrivateAddresses::Allow {
            return Ok(found);
        }
        let mut open = self.empty();
        let public = found.iter().filter(|address| !address::is_private(address.ip()));
        public.for_each(|address| open.push(*address));
        match (open.is_empty(), found.first()) {
            (false, _) => Ok(open),
            (true, Some(address)) => Err(ureq::Error::Other(Box::new(Denied(address.ip())))),
            (true, None) => Err(io::Error::from(io::ErrorKind::AddrNotAvailable).into()),
        }
    }
}

/// The address of a URL that has a number instead of a name.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?;
    let host = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let port = uri.port_u16().or_else(|| match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    });
    Some(SocketAddr::new(host.parse().ok()?, port?))
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn a_number_for_a_host_is_its_address_and_a_name_is_none() {
        let cases = [
            ("http://127.0.0.1/a", Some("127.0.0.1:80")),
            ("https://127.0.0.1/", Some("127.0.0.1:443")),
            ("http://[::1]:8080/", Some("[::1]:8080")),
            ("https://[2606:4700::1111]", Some("[2606:4700::1111]:443")),
            ("http://localhost/", None),
        ];
        for (url, address) in cases {
            let found = literal(&url.parse().expect("a URL"));
            assert_eq!(
                found,
                address.map(|address| address.parse().expect("an address")),
                "{url}"
            );
        }
    }
}
