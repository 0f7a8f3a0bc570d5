//! Brim's TCP server, and the library for apps of one's own.
//!
//! The way of a connection, each step one file:
//!
//! 1. [`plan`](self): the section and its app, read and checked before anything is served.
//! 2. `shell`: owns a connection; what comes first (the PROXY protocol, TLS), clocks, the end, counters.
//! 3. `connection`: what the app sees of it.
//! 4. `apps`: `echo`, `forward`, `exec`; `relay` moves the bytes of the last two.
//!
//! An app of one's own is a type with the [`App`] trait; `examples/hello.rs` shows one whole.
#![forbid(unsafe_code)]

mod app;
mod apps;
mod connection;
mod plan;
mod registry;
mod relay;
mod shell;
mod silence;
mod worker;

use std::process::ExitCode;

pub use app::{App, AppContext};
pub use brim_config::Reader;
pub use brim_service::tls::ClientCertificate;
pub use brim_stats::{Counter, RollUp, Stat};
pub use connection::Connection;
pub use registry::Registry;

/// The whole program, with these apps. Reads the process's arguments.
pub fn main(registry: Registry) -> ExitCode {
    brim_service::run(plan::Tcp::new(registry), std::env::args_os().skip(1)).into()
}
