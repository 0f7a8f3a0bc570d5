//! The apps that come with Brim, a file each.

mod basic_auth;
mod echo;
mod rate_limit;
mod redirect;
mod stats;

pub(crate) use basic_auth::BasicAuth;
pub(crate) use echo::Echo;
pub(crate) use rate_limit::RateLimit;
pub(crate) use redirect::Redirect;
pub(crate) use stats::Stats;
