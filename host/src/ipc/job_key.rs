//! What a job is called on the scoreboard, where the jobs of all queue servers meet.
//!
//! Every beanstalkd counts its jobs from 1, so the pools of one daemon may hold jobs of the same id from different
//! servers. A key is the id with a mark of the server in its upper bits.

/// How many bits of a key are the id's: more jobs than a server ever counts.
const ID_BITS: u32 = 40;

/// The mark of a queue server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerMark(u64);

impl ServerMark {
    /// The mark of the server of that address, as it is written. Two servers share one once in 16 million times.
    pub fn of(address: &str) -> ServerMark {
        // FNV-1a: every process has to come to the same mark, whatever it was compiled with.
        let hash = address.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        ServerMark(hash >> ID_BITS << ID_BITS)
    }

    /// The key of that server's job of this id. Never 0, as ids are not.
    pub fn key(self, id: u64) -> u64 {
        self.0 ^ id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_id_has_another_key_on_another_server() {
        let (one, other) = (
            ServerMark::of("127.0.0.1:11300"),
            ServerMark::of("127.0.0.1:11301"),
        );
        assert_ne!(one.key(901), other.key(901));
        assert_ne!(one.key(901), one.key(902));
        assert_eq!(one.key(901), ServerMark::of("127.0.0.1:11300").key(901));
    }
}
