//! Brim's UDP server, and the library for apps of one's own.
//!
//! The way of a datagram, each step one file:
//!
//! 1. [`plan`](self): the section and its app, read and checked before anything is served.
//! 2. `receiver`: one task per socket takes datagrams by the batch, and gives each batch to the app.
//! 3. `socket`: the socket; knows which address was asked, and sends in as few calls as it can.
//! 4. `apps`: `echo`, `forward`.
//!
//! An app of one's own is a type with the [`App`] trait; `examples/hello.rs` shows one whole.
#![forbid(unsafe_code)]

mod app;
mod apps;
mod batch;
mod plan;
mod receiver;
mod registry;
mod socket;
mod worker;

use std::process::ExitCode;

pub use app::{App, AppContext, Datagram};
pub use brim_config::Reader;
pub use brim_stats::{Counter, RollUp, Stat};
pub use bytes::Bytes;
pub use registry::Registry;
pub use socket::Peer;

/// The whole program, with these apps. Reads the process's arguments.
pub fn main(registry: Registry) -> ExitCode {
    brim_service::run(plan::Udp::new(registry), std::env::args_os().skip(1)).into()
}
