//! Log records and access lines, from whoever has something to say to the one thread that writes.
//!
//! Nothing on a worker writes to the journal, to standard output or to a file. Records go through a
//! bounded channel ([`layer`]), access lines through a ring per worker ([`lines`]), and [`writer`]
//! is the thread at the other end. What does not fit is dropped and counted.

mod layer;
mod limit;
mod lines;
mod record;
mod writer;

/// Appends a field in the journal's native protocol: an upper-case name, and any value.
pub use record::push_field as journal_field;

pub use limit::LogLimit;
pub use lines::LineSink;
pub use writer::AccessOutput;

pub(crate) use layer::Layer;
pub(crate) use writer::{Identity, LogHandle, start};
