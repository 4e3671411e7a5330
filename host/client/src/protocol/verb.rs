//! The commands by name: the words on the wire, what each looks like, and which replies may answer it.

use std::fmt;

use super::reply::{Reply, ServerError};

macro_rules! verbs {
    ($($(#[$doc:meta])* $verb:ident = $word:literal, $form:literal;)*) => {
        /// Which command, without its arguments.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Verb {
            $(#[doc = concat!("`", $form, "`")] $verb,)*
        }

        impl Verb {
            /// Every command of the protocol.
            pub const ALL: &[Self] = &[$(Self::$verb),*];

            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$verb => $word,)* }
            }

            /// The form of the command line in the words of protocol.txt.
            #[must_use]
            pub fn form(self) -> &'static str {
                match self { $(Self::$verb => $form,)* }
            }

            pub(super) fn from_word(word: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|verb| verb.as_str().as_bytes() == word)
            }
        }
    };
}

verbs! {
    Put = "put", "put <pri> <delay> <ttr> <bytes>";
    Use = "use", "use <tube>";
    Reserve = "reserve", "reserve";
    ReserveWithTimeout = "reserve-with-timeout", "reserve-with-timeout <seconds>";
    ReserveJob = "reserve-job", "reserve-job <id>";
    Delete = "delete", "delete <id>";
    Release = "release", "release <id> <pri> <delay>";
    Bury = "bury", "bury <id> <pri>";
    Touch = "touch", "touch <id>";
    Watch = "watch", "watch <tube>";
    Ignore = "ignore", "ignore <tube>";
    Peek = "peek", "peek <id>";
    PeekReady = "peek-ready", "peek-ready";
    PeekDelayed = "peek-delayed", "peek-delayed";
    PeekBuried = "peek-buried", "peek-buried";
    Kick = "kick", "kick <bound>";
    KickJob = "kick-job", "kick-job <id>";
    Stats = "stats", "stats";
    StatsJob = "stats-job", "stats-job <id>";
    StatsTube = "stats-tube", "stats-tube <tube>";
    ListTubes = "list-tubes", "list-tubes";
    ListTubeUsed = "list-tube-used", "list-tube-used";
    ListTubesWatched = "list-tubes-watched", "list-tubes-watched";
    PauseTube = "pause-tube", "pause-tube <tube> <delay>";
    Quit = "quit", "quit";
}

impl Verb {
    /// Whether the protocol allows `reply` as the answer to this command.
    ///
    /// The four general errors may answer any command. `quit` has no answer.
    #[must_use]
    pub fn allows(self, reply: &Reply<'_>) -> bool {
        use Reply as R;
        if let R::Error(error) = reply {
            return match error {
                ServerError::ExpectedCrlf | ServerError::JobTooBig | ServerError::Draining => {
                    self == Self::Put
                }
                _ => self != Self::Quit,
            };
        }
        match self {
            Self::Put => matches!(reply, R::Inserted(_) | R::Buried(Some(_))),
            Self::Use | Self::ListTubeUsed => matches!(reply, R::Using(_)),
            Self::Reserve | Self::ReserveWithTimeout => {
                matches!(reply, R::Reserved { .. } | R::TimedOut | R::DeadlineSoon)
            }
            Self::ReserveJob => matches!(reply, R::Reserved { .. } | R::NotFound),
            Self::Delete => matches!(reply, R::Deleted | R::NotFound),
            Self::Release => matches!(reply, R::Released | R::Buried(None) | R::NotFound),
            Self::Bury => matches!(reply, R::Buried(None) | R::NotFound),
            Self::Touch => matches!(reply, R::Touched | R::NotFound),
            Self::Watch => matches!(reply, R::Watching(_)),
            Self::Ignore => matches!(reply, R::Watching(_) | R::NotIgnored),
            Self::Peek | Self::PeekReady | Self::PeekDelayed | Self::PeekBuried => {
                matches!(reply, R::Found { .. } | R::NotFound)
            }
            Self::Kick => matches!(reply, R::Kicked(Some(_))),
            Self::KickJob => matches!(reply, R::Kicked(None) | R::NotFound),
            Self::Stats | Self::ListTubes | Self::ListTubesWatched => matches!(reply, R::Ok(_)),
            Self::StatsJob | Self::StatsTube => matches!(reply, R::Ok(_) | R::NotFound),
            Self::PauseTube => matches!(reply, R::Paused | R::NotFound),
            Self::Quit => false,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
