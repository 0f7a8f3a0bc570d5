//! Brim's HTTP front end, and the library for apps of one's own.
//!
//! The way of a request, each arrow one file opening the next:
//!
//! ```text
//! connection -> exchange -> admission -> chain of apps -> end (404)
//!     |             |                        |
//!   io, clock     error  <-------------------+
//!     |             |
//!   linger      access_log, counters
//! ```
//!
//! 1. [`plan`](self): the section and its apps, read and checked before anything is served.
//! 2. `connection`: the shell that owns a socket, with its clocks. What is simple it speaks itself (`direct`), and
//!    hyper all the rest.
//! 3. `exchange`: one request and its response; the one place that counts and logs. Its `service` leads from
//!    the head to the response.
//! 4. `admission`: what hyper lets through and we do not.
//! 5. `chain`: the apps in order, those that the request is for (`scope`), then `end`.
//! 6. `error`: the one place where an error becomes a response.
//!
//! An app of one's own is a type with the [`App`] trait; `examples/hello.rs` shows one whole.
#![forbid(unsafe_code)]

mod accept_encoding;
mod access_log;
mod admission;
mod app;
mod apps;
mod body;
mod chain;
mod client;
mod connection;
mod error;
mod exchange;
mod hidden;
mod per_second;
mod plan;
mod registry;
mod routes;
mod scope;
mod spare;
mod title_case;
mod txn;
mod upgrade;
mod worker;

use std::process::ExitCode;

pub use app::{App, AppContext, Claims, Request, blocking};
pub use body::{Body, FileRange, Part, Response, ResponseBody};
pub use brim_config::Reader;
pub use brim_service::tls::ClientCertificate;
pub use brim_stats::{Counter, RollUp, Stat};
pub use bytes::Bytes;
pub use chain::Next;
pub use error::{Blame, Error, HandlerFailure, UpstreamFailure};
pub use exchange::Exchange;
pub use http;
pub use registry::Registry;
pub use scope::Matched;
pub use upgrade::Upgraded;

/// The whole program, with these apps. Reads the process's arguments.
pub fn main(registry: Registry) -> ExitCode {
    brim_service::run(plan::Http::new(registry), std::env::args_os().skip(1)).into()
}
