//! What Brim's units execute: `brim-launch INSTANCE` becomes the program of a section,
//! `brim-launch --reload INSTANCE` has a running one take over a changed configuration.
//!
//! 1. [`command_line`]: what was asked for.
//! 2. `start`: the section, its [`program`], exec.
//!    For `--daemon`, the program of the daemon's group.
//! 3. `reload`: [`check`] by the section's own program, then `Reload()` on the [`bus`].
//! 4. `backoff`, `listening`: before and after the start of a daemon.
//!
//! What goes to the journal on the way is written by `journal`. `brimctl` uses the modules that
//! are public here.

#![forbid(unsafe_code)]

mod backoff;
pub mod bus;
pub mod check;
pub mod command_line;
pub mod daemons;
mod error;
mod exit;
mod journal;
mod listening;
pub mod program;
mod reload;
mod start;

use std::ffi::OsString;
use std::io::Write as _;

use command_line::Request;

pub use error::{Error, NoSection};
pub use exit::Exit;

/// The whole program: reads the command line, does what it says, returns why it ends.
///
/// It returns from a start only when that failed: else the process has become another program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    match command_line::parse(arguments) {
        Ok(Request::Start(target)) => start::start(&target),
        Ok(Request::Reload(target)) => reload::reload(&target),
        Ok(Request::Daemon(target)) => start::start_daemon(&target),
        Ok(Request::Backoff { daemon, max }) => backoff::wait(&daemon, max),
        Ok(Request::WaitListening { daemon }) => listening::wait(&daemon),
        Ok(Request::Help) => print(command_line::HELP),
        Ok(Request::Version) => print(concat!("brim-launch ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => {
            journal::error(&format!("brim-launch: {error}; see brim-launch --help"));
            Exit::Usage
        }
    }
}

fn print(text: &str) -> Exit {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::System,
    }
}
