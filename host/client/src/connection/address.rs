//! Where a beanstalkd listens.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// The port that beanstalkd listens on by default.
pub const DEFAULT_PORT: u16 = 11300;

/// The prefix of a Unix socket's path, as in beanstalkd's own option `-l unix:PATH`.
const UNIX_PREFIX: &str = "unix:";

/// The address of a beanstalkd: `host`, `host:port`, `[ipv6]:port` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or IP literal, without brackets, and a port.
    Tcp {
        /// Resolved when connecting.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// `unix:` without a path, or with a zero byte in it.
    #[error("found `{}`, wanted the path of a socket after `unix:`", .found.escape_debug())]
    Path {
        /// The text.
        found: String,
    },
    /// The host is empty or no host at all.
    #[error("found the host `{}`, wanted a name, an IP address or `unix:PATH`", .found.escape_debug())]
    Host {
        /// The text.
        found: String,
    },
    /// The port is no number from 1 to 65535.
    #[error("found the port `{}`, wanted a number from 1 to 65535", .found.escape_debug())]
    Port {
        /// The text.
        found: String,
    },
}

impl Address {
    /// The address of `host`, which may also be `unix:PATH`; then `port` has no meaning.
    ///
    /// # Errors
    /// A host that cannot be one, an empty path, or port 0.
    pub fn from_host_and_port(host: &str, port: u16) -> Result<Self, AddressError> {
        if let Some(path) = host.strip_prefix(UNIX_PREFIX) {
            return match path {
                _ if path.is_empty() || path.contains('\0') => Err(AddressError::Path {
                    found: host.to_owned(),
                }),
                _ => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let literal = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let is_ipv6 = literal.unwrap_or(host).parse::<Ipv6Addr>().is_ok();
        let is_name = literal.is_none()
            && !host.is_empty()
            && host
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && !"[]/:".contains(c));
        match port {
            _ if !is_ipv6 && !is_name => Err(AddressError::Host {
                found: host.to_owned(),
            }),
            0 => Err(AddressError::Port {
                found: "0".to_owned(),
            }),
            _ => Ok(Self::Tcp {
                host: literal.unwrap_or(host).to_owned(),
                port,
            }),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.starts_with(UNIX_PREFIX) || text.ends_with(']') || text.parse::<Ipv6Addr>().is_ok();
        match text.rsplit_once(':') {
            Some((host, port)) if !bare => {
                let refused = || AddressError::Port {
                    found: port.to_owned(),
                };
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|_| digits).ok_or_else(refused)?;
                Self::from_host_and_port(host, port)
            }
            _ => Self::from_host_and_port(text, DEFAULT_PORT),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_and_prints() {
        for (text, printed) in [
            ("localhost", "localhost:11300"),
            ("queue.example:1", "queue.example:1"),
            ("127.0.0.1:65535", "127.0.0.1:65535"),
            ("::1", "[::1]:11300"),
            ("[::1]", "[::1]:11300"),
            ("[fe80::1]:12", "[fe80::1]:12"),
            ("unix:/run/b.sock", "unix:/run/b.sock"),
            ("unix:relative:1", "unix:relative:1"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_part_that_is_wrong() {
        let error = |text: &str| text.parse::<Address>().unwrap_err().to_string();
        for host in [
            "",
            ":1",
            "a b:1",
            "a:b:1",
            "[::x]:1",
            "http://a:80",
            "[localhost]:1",
        ] {
            assert!(error(host).contains("wanted a name"), "{host}: {}", error(host));
        }
        for port in ["a:", "a:0", "a:65536", "a:+1", "a:x"] {
            assert!(
                error(port).contains("wanted a number from 1 to 65535"),
                "{port}: {}",
                error(port)
            );
        }
        assert_eq!(
            error("unix:"),
            "found `unix:`, wanted the path of a socket after `unix:`"
        );
    }

    #[test]
    fn a_host_setting_may_name_a_unix_socket_and_then_its_port_is_ignored() {
        let address = Address::from_host_and_port("unix:/run/b.sock", 0).unwrap();
        assert_eq!(address, Address::Unix("/run/b.sock".into()));
        let address = Address::from_host_and_port("::1", 5).unwrap();
        assert_eq!(
            address,
            Address::Tcp {
                host: "::1".to_owned(),
                port: 5
            }
        );
    }
}
