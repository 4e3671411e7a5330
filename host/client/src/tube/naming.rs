//! From the tube names people use to the names on the wire, and back.
//!
//! The PHP library's client puts every job on `crc32(name)`, written as an unsigned decimal number. Other producers
//! put on the name itself. [`TubeNaming`] says which of the two to watch.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::name::{TubeName, TubeNameError};

/// Which wire tubes stand for a logical tube name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum TubeNaming {
    /// The name itself and its checksum; a name that beanstalkd cannot take is its checksum alone.
    #[default]
    Both,
    /// The name itself only.
    Plain,
    /// The checksum only, as the PHP library does it.
    Crc32,
}

/// A value for [`TubeNaming`] that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown tube naming `{}`, wanted `both`, `plain` or `crc32`", .found.escape_debug())]
pub struct UnknownTubeNaming {
    /// The text as it was given.
    pub found: String,
}

/// A logical name that cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TubeNamingError {
    /// A name without a character names nothing, under any naming.
    #[error("a tube name must have at least one character")]
    Empty,
    /// [`TubeNaming::Plain`] was asked for a name that beanstalkd cannot take.
    #[error("tube `{}` cannot be used under its plain name; hint: tube naming `crc32` or `both` takes any name", .name.escape_debug())]
    NotPlain {
        /// The logical name.
        name: String,
        /// The rule that the name breaks.
        source: TubeNameError,
    },
}

/// A logical tube with the wire tubes that stand for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalTube {
    name: String,
    wire: Vec<TubeName>,
    crc32_alone: Option<TubeNameError>,
}

impl TubeNaming {
    /// The wire tubes of the logical name `name`, the plain one first.
    ///
    /// # Errors
    /// An empty name, and under [`TubeNaming::Plain`] a name that beanstalkd cannot take.
    pub fn resolve(self, name: &str) -> Result<LogicalTube, TubeNamingError> {
        if name.is_empty() {
            return Err(TubeNamingError::Empty);
        }
        let tube = |wire, crc32_alone| LogicalTube {
            name: name.to_owned(),
            wire,
            crc32_alone,
        };
        match (self, TubeName::new(name)) {
            (Self::Crc32, _) => Ok(tube(vec![crc32_name(name)], None)),
            (Self::Plain, Ok(plain)) => Ok(tube(vec![plain], None)),
            (Self::Plain, Err(source)) => Err(TubeNamingError::NotPlain {
                name: name.to_owned(),
                source,
            }),
            (Self::Both, Ok(plain)) => Ok(tube(vec![plain, crc32_name(name)], None)),
            (Self::Both, Err(reason)) => Ok(tube(vec![crc32_name(name)], Some(reason))),
        }
    }
}

/// The tube that the PHP library's client puts on for `name`: CRC-32 (IEEE) of its bytes as unsigned decimal text.
#[must_use]
pub fn crc32_name(name: &str) -> TubeName {
    let digits = crc32fast::hash(name.as_bytes()).to_string();
    TubeName::new(&digits).expect("decimal digits are always a tube name")
}

impl LogicalTube {
    /// The name that people use.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tubes to watch, never empty.
    #[must_use]
    pub fn wire(&self) -> &[TubeName] {
        &self.wire
    }

    /// Why only the checksum is watched under [`TubeNaming::Both`]; the caller logs it as a warning.
    #[must_use]
    pub fn crc32_alone(&self) -> Option<&TubeNameError> {
        self.crc32_alone.as_ref()
    }
}

/// The tubes of a pool: what to watch, and which logical name a wire name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TubeMap {
    tubes: Vec<LogicalTube>,
}

impl TubeMap {
    /// Resolves every name of `names`; a repeated name counts once.
    ///
    /// # Errors
    /// The first name that `naming` refuses.
    pub fn new<'n>(
        naming: TubeNaming,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, TubeNamingError> {
        let mut tubes: Vec<LogicalTube> = Vec::new();
        for name in names {
            if tubes.iter().all(|tube| tube.name != name) {
                tubes.push(naming.resolve(name)?);
            }
        }
        Ok(Self { tubes })
    }

    /// The logical tubes in the order they were configured.
    #[must_use]
    pub fn tubes(&self) -> &[LogicalTube] {
        &self.tubes
    }

    /// Every wire tube to watch, each once, in the order of configuration.
    pub fn wire(&self) -> impl Iterator<Item = &TubeName> {
        let all = || self.tubes.iter().flat_map(|tube| &tube.wire);
        all()
            .enumerate()
            .filter(move |(at, name)| !all().take(*at).any(|earlier| earlier == *name))
            .map(|(_, name)| name)
    }

    /// The logical name that the wire tube `wire` stands for, or `None` for a tube that is not configured.
    ///
    /// Where two logical names share a wire tube (one is written like the other's checksum), the one that is the wire
    /// name itself wins, and after that the one configured first.
    #[must_use]
    pub fn logical(&self, wire: &str) -> Option<&str> {
        let stands = |tube: &&LogicalTube| tube.wire.iter().any(|name| name.as_str() == wire);
        let itself = self.tubes.iter().filter(stands).find(|tube| tube.name == wire);
        itself
            .or_else(|| self.tubes.iter().find(stands))
            .map(LogicalTube::name)
    }
}

impl fmt::Display for TubeNaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "both",
            Self::Plain => "plain",
            Self::Crc32 => "crc32",
        })
    }
}

impl FromStr for TubeNaming {
    type Err = UnknownTubeNaming;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "both" => Ok(Self::Both),
            "plain" => Ok(Self::Plain),
            "crc32" => Ok(Self::Crc32),
            _ => Err(UnknownTubeNaming {
                found: text.to_owned(),
            }),
        }
    }
}

impl TryFrom<String> for TubeNaming {
    type Error = UnknownTubeNaming;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs observed on the PHP library's client.
    const OBSERVED: [(&str, &str); 12] = [
        ("async_call_test", "3469009418"),
        ("test", "3632233996"),
        ("test2", "331058520"),
        ("test_tube", "4165596241"),
        ("test_tube1", "2672346913"),
        ("test_tube2", "104961691"),
        ("golden", "872384039"),
        ("bench", "1725489957"),
        ("a", "3904355907"),
        ("0x", "3225541890"),
        ("order", "4113142680"),
        ("Order", "887667868"),
    ];

    fn wire(naming: TubeNaming, name: &str) -> Vec<String> {
        naming
            .resolve(name)
            .unwrap()
            .wire()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_checksum_is_the_one_the_php_library_puts_on() {
        for (name, checksum) in OBSERVED {
            assert_eq!(crc32_name(name).as_str(), checksum, "{name}");
        }
    }

    #[test]
    fn each_naming_watches_its_tubes() {
        assert_eq!(wire(TubeNaming::Both, "test"), ["test", "3632233996"]);
        assert_eq!(wire(TubeNaming::Plain, "test"), ["test"]);
        assert_eq!(wire(TubeNaming::Crc32, "test"), ["3632233996"]);
    }

    #[test]
    fn a_name_beanstalkd_cannot_take_is_watched_by_checksum_alone_and_says_so() {
        for name in ["订单", "two words", "-a", &"a".repeat(201)] {
            let tube = TubeNaming::Both.resolve(name).unwrap();
            assert_eq!(tube.wire(), [crc32_name(name)]);
            assert!(tube.crc32_alone().is_some());
            assert_eq!(wire(TubeNaming::Crc32, name).len(), 1);
            let refused = TubeNaming::Plain.resolve(name).unwrap_err();
            assert!(matches!(refused, TubeNamingError::NotPlain { .. }), "{refused}");
        }
        assert_eq!(TubeNaming::Both.resolve("a").unwrap().crc32_alone(), None);
        assert_eq!(TubeNaming::Crc32.resolve("订单").unwrap().crc32_alone(), None);
    }

    #[test]
    fn an_empty_name_is_refused_under_every_naming() {
        for naming in [TubeNaming::Both, TubeNaming::Plain, TubeNaming::Crc32] {
            assert_eq!(naming.resolve(""), Err(TubeNamingError::Empty));
        }
    }

    #[test]
    fn a_wire_name_leads_back_to_its_logical_name() {
        let map = TubeMap::new(TubeNaming::Both, ["test", "订单", "test"]).unwrap();
        assert_eq!(map.tubes().len(), 2);
        assert_eq!(map.logical("test"), Some("test"));
        assert_eq!(map.logical("3632233996"), Some("test"));
        assert_eq!(map.logical(crc32_name("订单").as_str()), Some("订单"));
        assert_eq!(map.logical("default"), None);
    }

    #[test]
    fn a_tube_named_like_anothers_checksum_is_watched_once_and_means_itself() {
        let map = TubeMap::new(TubeNaming::Both, ["test", "3632233996"]).unwrap();
        let watched: Vec<&str> = map.wire().map(TubeName::as_str).collect();
        assert_eq!(watched, ["test", "3632233996", crc32_name("3632233996").as_str()]);
        assert_eq!(map.logical("3632233996"), Some("3632233996"));
    }

    #[test]
    fn the_settings_words_read_and_print_alike() {
        for naming in [TubeNaming::Both, TubeNaming::Plain, TubeNaming::Crc32] {
            assert_eq!(naming.to_string().parse(), Ok(naming));
            assert_eq!(
                serde_json::from_value::<TubeNaming>(naming.to_string().into()).unwrap(),
                naming
            );
        }
        let text = "Plain".parse::<TubeNaming>().unwrap_err().to_string();
        assert_eq!(
            text,
            "unknown tube naming `Plain`, wanted `both`, `plain` or `crc32`"
        );
    }
}
