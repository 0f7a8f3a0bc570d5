//! The apps that come with Brim, a file each.

mod basic_auth;
mod compress;
mod echo;
mod files;
mod handler;
mod headers;
mod proxy;
mod rate_limit;
mod redirect;
mod stats;

pub(crate) use basic_auth::BasicAuth;
pub(crate) use compress::Compress;
pub(crate) use echo::Echo;
pub(crate) use files::Files;
pub(crate) use handler::{Conf as HandlerConf, Handler, Messages, begins_with, speak};
pub(crate) use headers::Headers;
pub(crate) use proxy::Proxy;
pub(crate) use rate_limit::RateLimit;
pub(crate) use redirect::Redirect;
pub(crate) use stats::Stats;
