//! Brim's groups of background daemons, and the library for daemons of one's own.
//!
//! One program in two roles:
//!
//! - `brim-daemon daemons` is the unit `brim@daemons`: [`group`](self) reads the section with those of its
//!   daemons, `group/watch` follows the daemons' units in systemd, `group/collect` takes what they report.
//!   systemd starts, restarts and ends them, not this.
//! - `brim-daemon --run NAME` is the unit `brim-daemon@NAME` of a daemon with `call`: `runner` builds it from
//!   its section, and `report` sends its figures to the group.
//!
//! A daemon of one's own is a type with the [`Daemon`] trait; `examples/hello.rs` shows one whole.
#![forbid(unsafe_code)]

mod builtin;
mod command_line;
mod daemon;
mod group;
mod line;
mod registry;
mod report;
mod runner;

use std::io::Write as _;
use std::process::ExitCode;

pub use brim_config::Reader;
pub use brim_stats::{RollUp, Stat};
pub use daemon::{Daemon, DaemonContext, Failure};
pub use registry::Registry;
pub use report::Counter;

use command_line::Request;

/// The whole program, with these daemons. Reads the process's arguments.
pub fn main(registry: Registry) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match command_line::parse(&arguments) {
        Some(Ok(Request::Run(target))) => runner::run(&registry, &target).into(),
        Some(Ok(Request::Help)) => {
            let _ = std::io::stdout().write_all(command_line::help().as_bytes());
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            let _ = writeln!(std::io::stderr(), "brim-daemon: {error}\n\n{}", command_line::help());
            brim_service::Exit::Usage.into()
        }
        None => brim_service::run(group::Group::new(registry), arguments).into(),
    }
}
