//! How a worker gets to its queue server: by the address that its pool names or, isolated, by what that meant when the
//! worker began.
//!
//! Whoever is isolated may not ask a name server any more. A name is resolved once then, and its addresses are kept.

use std::net::{SocketAddr, ToSocketAddrs};

use asynccall_client::connection::{Address, Connection, ConnectionError, Options};

use crate::observe::line::chain;

/// A queue server.
pub(super) struct Reach {
    named: Address,
    /// Tried in this order, before the last one.
    first: Vec<Address>,
    last: Address,
}

impl Reach {
    /// By its name, which is resolved for each connection anew.
    pub(super) fn by_name(named: Address) -> Reach {
        Reach {
            last: named.clone(),
            named,
            first: Vec::new(),
        }
    }

    /// By the addresses that the name has now; the error is the text for the operator.
    pub(super) fn by_address(named: Address) -> Result<Reach, String> {
        let Address::Tcp { host, port } = &named else {
            return Ok(Reach::by_name(named));
        };
        let failed = |why: String| {
            format!(
                "cannot resolve the queue server's name `{host}`: {why}\n  hint: an isolated worker does that once, when it begins; an address in place of the name needs nobody who knows it"
            )
        };
        let found = (host.as_str(), *port).to_socket_addrs();
        let found = found.map_err(|error| failed(chain(&error)))?;
        let mut first: Vec<Address> = found.map(literal).collect();
        let last = first
            .pop()
            .ok_or_else(|| failed("it has no address".to_owned()))?;
        Ok(Reach { named, first, last })
    }

    /// As the pool names it.
    pub(super) fn named(&self) -> &Address {
        &self.named
    }

    /// Connects to the first address that answers. Each has the whole of the time that a connection may take.
    pub(super) fn connect(&self, options: &Options) -> Result<Connection, ConnectionError> {
        let mut first = self.first.iter();
        match first.find_map(|address| Connection::connect(address, options).ok()) {
            Some(connection) => Ok(connection),
            None => Connection::connect(&self.last, options),
        }
    }
}

/// An address that nobody has to be asked about.
fn literal(found: SocketAddr) -> Address {
    let host = match found {
        // A link-local address means nothing without its interface.
        SocketAddr::V6(found) if found.scope_id() != 0 => format!("{}%{}", found.ip(), found.scope_id()),
        found => found.ip().to_string(),
    };
    Address::Tcp {
        host,
        port: found.port(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_as_the_addresses_that_it_has() {
        let named: Address = "localhost:11301".parse().expect("an address");
        let reach = Reach::by_address(named.clone()).expect("every system knows it");
        assert_eq!(reach.named(), &named);
        for address in reach.first.iter().chain([&reach.last]) {
            let host = address.to_string();
            let literal = host.parse::<SocketAddr>().expect("an address and a port");
            assert!(literal.ip().is_loopback() && literal.port() == 11301, "{host}");
        }
        let unix: Address = "unix:/run/b.sock".parse().expect("an address");
        assert_eq!(Reach::by_address(unix.clone()).expect("no name").last, unix);
    }

    #[test]
    fn a_link_local_address_keeps_its_interface() {
        let found = "[fe80::1%7]:5".parse().expect("an address");
        assert_eq!(literal(found).to_string(), "[fe80::1%7]:5");
    }

    #[test]
    fn a_name_that_nobody_knows_is_said_at_once() {
        let named: Address = "queue.invalid:1".parse().expect("an address");
        let error = Reach::by_address(named).err().expect("it has no address");
        assert!(
            error.starts_with("cannot resolve the queue server's name `queue.invalid`: "),
            "{error}"
        );
    }
}
