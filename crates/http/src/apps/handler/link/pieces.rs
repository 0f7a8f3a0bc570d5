use std::collections::VecDeque;

use bytes::Bytes;

use crate::body::{Part, ResponseBody};

/// Bytes that wait, piece by piece. Mostly there is one at a time, which takes no memory beside its own.
#[derive(Default)]
pub(in crate::apps::handler) struct Pieces {
    /// Empty only if there is none.
    first: Bytes,
    others: VecDeque<Bytes>,
}

impl Pieces {
    /// Adds one, if there is something in it.
    pub(super) fn push(&mut self, piece: Bytes) {
        match self.first.is_empty() {
            true => self.first = piece,
            false if piece.is_empty() => {}
            false => self.others.push_back(piece),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let others = self.others.pop_front().unwrap_or_default();
        Some(std::mem::replace(&mut self.first, others)).filter(|piece| !piece.is_empty())
    }

    pub(in crate::apps::handler) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Their bytes together.
    pub(in crate::apps::handler) fn total(&self) -> u64 {
        let bytes = self.others.iter().map(Bytes::len).sum::<usize>() + self.first.len();
        bytes as u64
    }
}

impl From<Pieces> for ResponseBody {
    fn from(pieces: Pieces) -> Self {
        let Pieces { first, others } = pieces;
        match (first.is_empty(), others.is_empty()) {
            (true, _) => Self::Empty,
            (false, true) => first.into(),
            (false, false) => {
                let all = std::iter::once(first).chain(others);
                Self::Parts(all.map(Part::Bytes).collect())
            }
        }
    }
}
