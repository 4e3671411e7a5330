//! Tries what its payload names, and says what the system made of it. For tests of what workers may do.
//!
//! A payload is a map with one of: `read`, `list`, `write`, `execute` (a path each), `remove` (a path), `connect` and
//! `fast_open` (an address with its port), `unix` (the path of a socket), `socket` (the numbers of a family, a type and
//! a protocol) and `allocate_mib`; or it is the word `listen`.
//!
//! Its configuration may name a file that it reads when it is made, and one that it reads when it checks itself.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use plugin_api::{prelude::*, serde_json::Value};
use socket2::{Domain, Protocol, Socket, Type};

/// The flag of sendto(2) for a message that makes its own connection, on Linux.
const MSG_FASTOPEN: i32 = 0x2000_0000;

struct Prowler {
    checked: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Read when the handler is made.
    made_of: Option<PathBuf>,
    /// Read when it checks itself.
    checked: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Errand {
    Read(PathBuf),
    List(PathBuf),
    Write(PathBuf),
    Remove(PathBuf),
    Execute(PathBuf),
    Connect(String),
    FastOpen(SocketAddr),
    Unix(PathBuf),
    Socket(i32, i32, i32),
    Listen,
    AllocateMib(usize),
}

impl Handler for Prowler {
    type Config = Config;
    type Payload = Errand;
    const DESCRIPTION: &'static str = "Tries what its payload names";

    fn new(config: Config) -> Result<Self> {
        config.made_of.map_or(Ok(()), |path| read(&path))?;
        Ok(Prowler {
            checked: config.checked,
        })
    }

    fn self_check(&self) -> Result<()> {
        self.checked.as_deref().map_or(Ok(()), read)
    }

    fn execute(&self, _: &Job, errand: Errand) -> Result {
        match errand {
            Errand::Read(path) => read(&path)?,
            Errand::List(path) => tried("list", path.display(), fs::read_dir(&path))?,
            Errand::Write(path) => tried("write", path.display(), fs::write(&path, "written"))?,
            Errand::Remove(path) => tried("remove", path.display(), fs::remove_file(&path))?,
            Errand::Execute(path) => tried("execute", path.display(), Command::new(&path).status())?,
            Errand::Connect(to) => tried("connect to", &to, TcpStream::connect(&to))?,
            Errand::FastOpen(to) => tried("write to", to, fast_open(to))?,
            Errand::Unix(path) => tried("connect to", path.display(), UnixStream::connect(&path))?,
            Errand::Socket(family, kind, protocol) => {
                let protocol = Some(protocol).filter(|protocol| *protocol != 0);
                let made = Socket::new(family.into(), kind.into(), protocol.map(Protocol::from));
                tried("make", "a socket", made)?;
            }
            Errand::Listen => tried("listen", "anywhere", listen())?,
            // Filled, so that it is resident.
            Errand::AllocateMib(mib) => drop(std::hint::black_box(vec![1_u8; mib << 20])),
        }
        Ok(Value::from("it let me").into())
    }
}

fn read(path: &Path) -> Result<()> {
    tried("read", path.display(), fs::read(path))
}

fn fast_open(to: SocketAddr) -> io::Result<usize> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.send_to_with_flags(b"quit\r\n", &to.into(), MSG_FASTOPEN)
}

/// Without an address: the system chooses a port.
fn listen() -> io::Result<()> {
    Socket::new(Domain::IPV4, Type::STREAM, None)?.listen(1)
}

fn tried<T>(what: &str, whom: impl std::fmt::Display, outcome: io::Result<T>) -> Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("cannot {what} `{whom}`: {error}").into()),
    }
}

export_plugin!(Prowler);
