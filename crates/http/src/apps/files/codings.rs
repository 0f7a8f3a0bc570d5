//! The compressed forms of a file that may lie beside it.

use crate::accept_encoding::Coding;

/// What may lie beside a file; the best first.
pub(super) const BESIDE: [Coding; 3] = [Coding::Br, Coding::Zstd, Coding::Gzip];

/// What is appended to a file's name.
pub(super) fn suffix(coding: Coding) -> &'static str {
    match coding {
        Coding::Br => ".br",
        Coding::Zstd => ".zst",
        Coding::Gzip => ".gz",
    }
}
