//! Names of tubes: what the server accepts, and how the names people use map to the names on the wire.
//!
//! Owns [`TubeName`] (a name that beanstalkd takes) and [`TubeNaming`] with [`TubeMap`] (the PHP library puts on
//! a checksum of the name). Does not talk to a server.

mod name;
mod naming;

pub(crate) use self::name::check;
pub use self::name::{MAX_TUBE_NAME_BYTES, TubeName, TubeNameError};
pub use self::naming::{LogicalTube, TubeMap, TubeNaming, TubeNamingError, UnknownTubeNaming, crc32_name};
