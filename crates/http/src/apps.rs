//! The apps that come with Brim, a file each.

mod basic_auth;
mod echo;
mod stats;

pub(crate) use basic_auth::BasicAuth;
pub(crate) use echo::Echo;
pub(crate) use stats::Stats;
