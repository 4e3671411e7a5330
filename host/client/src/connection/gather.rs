//! Whether one read waits for two replies.
//!
//! The server answers a delete, and the reserve that went out with it, in two writes, and each of them would wake the
//! reader. Where jobs are waiting the second follows the first at once. Then the socket is told not to wake the reader for
//! the first alone (`SO_RCVLOWAT`, socket(7)), for no longer than [`PATIENCE`]: one wake-up and one read per job instead
//! of two.
//!
//! Nobody knows whether jobs are waiting, so it is tried; after every time in vain it is tried the more seldom, and what
//! was deleted is known that much later for once. No job comes later for it.

use std::time::Duration;

/// The least that is read in one piece where two replies are waited for, in bytes: more than `DELETED\r\n`.
pub(super) const BOTH: usize = 10;
/// How long the first reply may be kept waiting for the second.
pub(super) const PATIENCE: Duration = Duration::from_millis(5);
/// How many pairs are read as they come before, and after a first time in vain.
const FIRST_PAUSE: u32 = 64;
/// The same at most.
const LONGEST_PAUSE: u32 = 4096;

/// How it went until now.
#[derive(Debug)]
pub(super) struct Gather {
    /// So many pairs are read as they come before the next try.
    left: u32,
    pause: u32,
}

impl Gather {
    pub(super) fn new() -> Self {
        Self {
            left: FIRST_PAUSE,
            pause: FIRST_PAUSE,
        }
    }

    /// Asked once for each pair: whether it is to be read in one piece.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_due
    }

    /// So many bytes came in one piece.
    pub(super) fn came_with(&mut self, bytes: usize) {
        match bytes >= BOTH {
            true => self.worked(),
            false => self.was_in_vain(),
        }
    }

    fn worked(&mut self) {
        self.pause = (self.pause / 2).max(FIRST_PAUSE);
    }

    /// The second reply did not come in time, or not as a whole.
    pub(super) fn was_in_vain(&mut self) {
        self.left = self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pairs are read as they come until one is gathered.
    fn pause(gather: &mut Gather) -> usize {
        std::iter::from_fn(|| (!gather.is_due()).then_some(())).count()
    }

    #[test]
    fn it_is_tried_more_seldom_after_each_time_in_vain_and_more_often_when_it_works() {
        let mut gather = Gather::new();
        assert_eq!(pause(&mut gather), 64);
        assert_eq!(pause(&mut gather), 0, "it goes on while it works");
        for expected in [64, 128, 256, 512, 1024, 2048, 4096, 4096] {
            gather.was_in_vain();
            assert_eq!(pause(&mut gather), expected);
        }
        gather.worked();
        gather.was_in_vain();
        assert_eq!(pause(&mut gather), 2048);
        (0..10).for_each(|_| gather.worked());
        gather.was_in_vain();
        assert_eq!(pause(&mut gather), 64);
    }
}
