//! Frames: a length of four bytes, most significant first, and that many bytes of JSON. Pure.

/// The bytes of the length in front of each frame.
pub(crate) const HEAD: usize = 4;

/// Why a stream of bytes is no stream of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// Also what text looks like that was printed into the descriptor: its first four letters are a large number.
    #[error(
        "a frame of {length} bytes is announced, wanted at most {limit}\n  \
         hint: only frames may be written to descriptor 4, printed text belongs to standard output"
    )]
    TooLong { length: usize, limit: usize },
    #[error("a frame of 0 bytes is announced, wanted a JSON document")]
    Empty,
}

/// Makes `buffer` one frame whose document is what `write` appends.
///
/// # Errors
///
/// The document's length, where no length of four bytes can tell it.
pub(crate) fn fill(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), usize> {
    buffer.clear();
    buffer.extend_from_slice(&[0; HEAD]);
    write(buffer);
    let length = buffer.len() - HEAD;
    let head = u32::try_from(length).map_err(|_| length)?.to_be_bytes();
    if let Some(place) = buffer.first_chunk_mut() {
        *place = head;
    }
    Ok(())
}

/// The document of the first frame in `bytes`; `None` while it is not there whole.
///
/// # Errors
///
/// [`FrameError`], as soon as the length shows it.
pub(crate) fn first(bytes: &[u8], limit: usize) -> Result<Option<&[u8]>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    match u32::from_be_bytes(*head) as usize {
        0 => Err(FrameError::Empty),
        length if length > limit => Err(FrameError::TooLong { length, limit }),
        length => Ok(rest.get(..length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_however_its_bytes_arrive() {
        let mut frame = Vec::new();
        fill(&mut frame, |document| document.extend_from_slice(b"{\"a\":1}")).expect("it is short");
        assert_eq!(&frame[..HEAD], [0, 0, 0, 7]);
        for end in 0..frame.len() {
            assert_eq!(first(&frame[..end], 7), Ok(None), "{end} bytes");
        }
        assert_eq!(first(&frame, 7), Ok(Some(b"{\"a\":1}".as_slice())));
        frame.extend_from_slice(b"more");
        assert_eq!(first(&frame, 7), Ok(Some(b"{\"a\":1}".as_slice())));
    }

    #[test]
    fn a_buffer_is_filled_anew_each_time() {
        let mut frame = b"what was there before".to_vec();
        fill(&mut frame, |document| document.push(b'1')).expect("it is short");
        assert_eq!(frame, [0, 0, 0, 1, b'1']);
    }

    #[test]
    fn what_is_no_frame_is_refused_by_its_first_four_bytes() {
        let limit = 1024;
        let text = u32::from_be_bytes(*b"PHP ") as usize;
        let table: [(&[u8], FrameError); 3] = [
            (b"\0\0\0\0", FrameError::Empty),
            (b"\0\0\x04\x01", FrameError::TooLong { length: 1025, limit }),
            (b"PHP Warning: ", FrameError::TooLong { length: text, limit }),
        ];
        for (bytes, error) in table {
            assert_eq!(first(bytes, limit), Err(error));
        }
    }
}
