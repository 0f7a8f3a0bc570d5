//! The gateway between front ends and handlers: exchanges of HTTP, WebSockets and socket messages on one side,
//! messages of ZeroMQ on the other, as "Mongrel2's protocol" has them.
//!
//! 1. [`plan`](self): the section and its handlers, read and checked.
//! 2. `worker`: one for all, whose state outlives reloads; it accepts, and knows who comes to which socket.
//! 3. `connection`: a task for each, which reads; all that is to be written leaves at the end of a turn.
//! 4. `core`: everything that is decided, without sockets and clocks.
//! 5. `disk`: uploads, and files that handlers have sent.
#![forbid(unsafe_code)]

mod connection;
mod core;
mod disk;
mod plan;
mod worker;

use std::process::ExitCode;

/// The whole program. Reads the process's arguments.
pub fn main() -> ExitCode {
    brim_service::run(plan::Gateway, std::env::args_os().skip(1)).into()
}
