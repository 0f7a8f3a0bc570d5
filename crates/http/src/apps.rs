//! The apps that come with Brim, a file each.

mod echo;
mod stats;

pub(crate) use echo::Echo;
pub(crate) use stats::Stats;
