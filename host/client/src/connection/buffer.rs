//! The read buffer: kept from reply to reply, grown by what arrived and not by what was announced.

use std::io;

/// The first size, in bytes; an ordinary job and the reply before it fit.
const FIRST_BYTES: usize = 8 * 1024;
/// What a buffer that grows gets beside the reply that it grows for, in bytes: the replies that come with the next as large
/// a one. Else each of those would be moved to the front and read in two pieces.
const BESIDE_BYTES: usize = 4 * 1024;
/// Up to this size, in bytes, the buffer takes an announced length at its word, and keeps the memory.
pub(super) const KEPT_BYTES: usize = 256 * 1024;
/// Above this size, in bytes, the memory is given back as soon as the reply is done with.
const RETURNED_BYTES: usize = 4 * 1024 * 1024;
/// So many replies in a row that would have fitted a kept buffer make a larger one shrink.
const SMALL_REPLIES: u32 = 64;

/// Bytes read and not yet taken are `bytes[start..end]`; the rest of `bytes` is room.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    small_replies: u32,
}

impl ReadBuffer {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; FIRST_BYTES],
            start: 0,
            end: 0,
            small_replies: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes the first `count` unread bytes; they stay valid until the next call.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start = self.end.min(from + count);
        self.small_replies = if count > KEPT_BYTES {
            0
        } else {
            self.small_replies.saturating_add(1)
        };
        &self.bytes[from..self.start]
    }

    /// Makes room on the way to `needed` unread bytes and reads into it once.
    ///
    /// `needed` must be more than is unread now.
    pub(super) fn fill(
        &mut self,
        needed: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.make_room(needed);
        let count = read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }

    fn make_room(&mut self, needed: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.shrink();
        }
        if self.start.saturating_add(needed) > self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let size = self.bytes.len();
        let wanted = needed.saturating_add(BESIDE_BYTES);
        if needed > size && size < KEPT_BYTES {
            self.grow(wanted.min(KEPT_BYTES));
        } else if needed > size && self.end == size {
            self.grow(wanted.min(size.saturating_mul(2)));
        }
    }

    fn grow(&mut self, size: usize) {
        self.bytes.reserve_exact(size - self.bytes.len());
        self.bytes.resize(size, 0);
    }

    fn shrink(&mut self) {
        let size = self.bytes.len();
        if size > RETURNED_BYTES || (size > KEPT_BYTES && self.small_replies >= SMALL_REPLIES) {
            self.bytes.truncate(KEPT_BYTES);
            self.bytes.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills `buffer` with `count` bytes in reads as large as the room is.
    fn arrive(buffer: &mut ReadBuffer, count: usize) {
        while buffer.unread().len() < count {
            let missing = count - buffer.unread().len();
            buffer
                .fill(count, |room| {
                    let read = missing.min(room.len());
                    room[..read].fill(b'x');
                    Ok(read)
                })
                .unwrap();
        }
    }

    #[test]
    fn an_announced_gigabyte_takes_memory_only_as_bytes_arrive() {
        let mut buffer = ReadBuffer::new();
        for _ in 0..1000 {
            buffer.fill(1 << 30, |_| Ok(1)).unwrap();
        }
        assert_eq!(buffer.bytes.len(), KEPT_BYTES);
        arrive(&mut buffer, 3 * KEPT_BYTES);
        assert!(buffer.bytes.capacity() <= 6 * KEPT_BYTES);
    }

    #[test]
    fn a_large_buffer_shrinks_after_many_small_replies_and_a_huge_one_at_once() {
        let mut buffer = ReadBuffer::new();
        arrive(&mut buffer, 2 * KEPT_BYTES);
        buffer.take(2 * KEPT_BYTES);
        for _ in 0..SMALL_REPLIES {
            assert_eq!(buffer.bytes.len(), 2 * KEPT_BYTES);
            arrive(&mut buffer, 10);
            buffer.take(10);
        }
        arrive(&mut buffer, 10);
        assert_eq!(buffer.bytes.capacity(), KEPT_BYTES);
        buffer.take(10);
        arrive(&mut buffer, RETURNED_BYTES + 1);
        buffer.take(RETURNED_BYTES + 1);
        arrive(&mut buffer, 10);
        assert_eq!(buffer.bytes.capacity(), KEPT_BYTES);
    }

    #[test]
    fn large_replies_each_behind_a_small_one_come_in_one_read_and_are_not_moved() {
        const LARGE: usize = 60_000;
        let mut buffer = ReadBuffer::new();
        arrive(&mut buffer, LARGE);
        buffer.take(LARGE);
        let memory = buffer.capacity();
        for _ in 0..3 {
            let whole = buffer.fill(10, |room| Ok(room.len().min(9 + LARGE)));
            assert_eq!(whole.unwrap(), 9 + LARGE);
            buffer.take(9);
            assert_eq!(buffer.unread().len(), LARGE);
            buffer.take(LARGE);
        }
        assert_eq!(buffer.capacity(), memory);
    }

    #[test]
    fn steady_small_replies_keep_the_same_memory() {
        let mut buffer = ReadBuffer::new();
        for _ in 0..10_000 {
            arrive(&mut buffer, 300);
            buffer.take(9);
            buffer.take(291);
        }
        assert_eq!(buffer.bytes.capacity(), FIRST_BYTES);
    }
}
