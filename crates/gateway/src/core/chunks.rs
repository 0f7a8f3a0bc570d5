//! A body in chunks (RFC 9112, section 7.1), as handlers build it.

/// The longest line of a size with its extensions, or of a trailer.
const LINE: usize = 8192;
/// All trailers together, which nobody gets.
const TRAILERS: usize = 65_536;

/// Why a chunked body cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    #[error("the byte 0x{0:02x} in a chunk's size, expected hexadecimal digits")]
    Size(u8),
    #[error("a chunk's size without digits, or above 2^63")]
    Number,
    #[error("the byte 0x{0:02x} behind a chunk, expected a line break")]
    Break(u8),
    #[error("a line of more than {LINE} bytes, or trailers of more than {TRAILERS}")]
    TooLong,
}

/// Takes chunks apart; keeps none of their bytes.
#[derive(Debug)]
pub(crate) struct Chunks {
    stage: Stage,
    /// Bytes of the line or the trailers so far.
    line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// In front of or within a size.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind a size, up to the line's end.
    Extension(u64),
    Data(u64),
    /// Behind data.
    Break,
    /// In a trailer's line with so many bytes.
    Trailer(usize),
    Over,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { stage: Stage::Size { size: 0, digits: 0 }, line: 0 }
    }
}

impl Chunks {
    /// The next bytes of the body, at the start of `input`; the caller says by [`took`](Self::took) how many
    /// of them it took. `None` if there are none in `input`, which is then used up, or at the end.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<&'a [u8]>, ChunkError> {
        loop {
            if let Stage::Data(left) = self.stage {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                return Ok(input.get(..count).filter(|data| !data.is_empty()));
            }
            if self.stage == Stage::Over {
                return Ok(None);
            }
            let Some((byte, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            self.byte(*byte)?;
        }
    }

    /// So many bytes of the body were taken.
    pub(crate) fn took(&mut self, count: usize) {
        if let Stage::Data(left) = &mut self.stage {
            *left = left.saturating_sub(count as u64);
            if *left == 0 {
                self.stage = Stage::Break;
            }
        }
    }

    /// Whether the last chunk and the trailers are behind us.
    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    fn byte(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.line += 1;
        self.stage = match (self.stage, byte) {
            (Stage::Size { digits: 0, .. }, b'\r' | b'\n' | b';' | b' ' | b'\t') => {
                return Err(ChunkError::Number);
            }
            (Stage::Size { size, .. }, b'\n') => self.sized(size),
            (Stage::Size { size, .. }, b'\r' | b';' | b' ' | b'\t') => Stage::Extension(size),
            (Stage::Size { size, digits }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Size(byte))?;
                if digits >= 15 {
                    return Err(ChunkError::Number);
                }
                Stage::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Stage::Extension(size), b'\n') => self.sized(size),
            (Stage::Extension(size), _) => Stage::Extension(size),
            (Stage::Break, b'\r') if self.line == 1 => Stage::Break,
            (Stage::Break, b'\n') => {
                self.line = 0;
                Stage::Size { size: 0, digits: 0 }
            }
            (Stage::Break, byte) => return Err(ChunkError::Break(byte)),
            (Stage::Trailer(0), b'\n') => Stage::Over,
            (Stage::Trailer(_), b'\n') => Stage::Trailer(0),
            (Stage::Trailer(bytes), b'\r') => Stage::Trailer(bytes),
            (Stage::Trailer(bytes), _) => Stage::Trailer(bytes + 1),
            (stage @ (Stage::Data(_) | Stage::Over), _) => stage,
        };
        let is_trailer = matches!(self.stage, Stage::Trailer(_) | Stage::Over);
        let limit = if is_trailer { TRAILERS } else { LINE };
        if self.line > limit { Err(ChunkError::TooLong) } else { Ok(()) }
    }

    /// Behind the line of a size.
    fn sized(&mut self, size: u64) -> Stage {
        self.line = 0;
        if size == 0 { Stage::Trailer(0) } else { Stage::Data(size) }
    }
}
