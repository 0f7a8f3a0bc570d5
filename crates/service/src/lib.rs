//! What all of Brim's daemons share: everything but the protocol.
//!
//! The life of a daemon, each step one file (`daemon.rs` calls them in this order):
//!
//! 1. [`command_line`]: which section, and whether it is only to be checked.
//! 2. `sockets`: what systemd handed over, matched to the section by address and type.
//! 3. `log`: the writer thread for records and access lines.
//! 4. [`Program::plan`]: the section and everything it refers to, checked as a whole. With a wrong
//!    one, `daemon/hold` keeps the sockets and turns clients away until a reload mends it.
//! 5. `worker`: a thread each, with the program's own state, and what it does beside serving
//!    ([`Program::background`]); `acceptor`: one thread for all; `balance`: connections go to where they are
//!    best served.
//! 6. `bus`: the name, the interfaces; `gather`: the other instances' stats.
//! 7. `notify`: ready; `daemon/pulse`: watchdog pings, counters into their file.
//! 8. `daemon/reload`: the new state is built whole, then it takes the old one's place, or not.
//! 9. `daemon/drain`: everything that is open ends well.
//!
//! A process that does one thing and listens nowhere has less of a life: [`run_solo`].
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

mod acceptor;
mod app_context;
mod apps;
mod balance;
mod bulletin;
mod bus;
mod client;
pub mod command_line;
mod connect;
mod counters;
mod daemon;
mod exit;
mod gather;
mod layout;
mod lifecycle;
pub mod linger;
mod local;
mod log;
mod notify;
mod program;
pub mod proxy_protocol;
mod shared;
mod sockets;
mod stream;
pub mod tls;
mod transport;
mod wake;
mod worker;

pub use acceptor::{Open, RefusalTurn};
pub use app_context::AppContext;
pub use apps::Apps;
pub use balance::Rounds;
pub use bulletin::Bulletin;
pub use bus::interface_xml;
pub use client::ClientKey;
pub use connect::connect;
pub use daemon::run;
pub use daemon::solo::{Solo, run_solo};
pub use exit::Exit;
pub use gather::{Gather, Sections};
pub use layout::layout;
pub use lifecycle::{Drain, Lifecycle};
pub use local::LocalStream;
pub use log::{AccessOutput, LineSink, LogLimit, journal_field};
pub use program::{NotARequest, Program, Settings};
pub use sockets::{DatagramSocket, Datagrams, PeerAddress, SocketError};
pub use stream::Stream;
pub use transport::{Transport, put_held};
pub use wake::Wake;
pub use worker::{Connection, Current, Refused, WorkerContext};

/// A line for `systemctl status`, from a process that is no server.
pub fn status(text: &str) {
    notify::status(text);
}

/// What goes to the journal at this level of the configuration.
pub fn level(level: brim_config::LogLevel) -> tracing::Level {
    match level {
        brim_config::LogLevel::Error => tracing::Level::ERROR,
        brim_config::LogLevel::Warning | brim_config::LogLevel::Notice => tracing::Level::WARN,
        brim_config::LogLevel::Info => tracing::Level::INFO,
        brim_config::LogLevel::Debug => tracing::Level::DEBUG,
    }
}

/// The time in seconds since 1970.
pub(crate) fn epoch_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Where this process's access lines go by default: a file in systemd's log directory, or standard
/// output where there is none (`brimctl run`).
pub fn access_log_file(name: &brim_config::SectionName) -> AccessOutput {
    let first = first_directory("LOGS_DIRECTORY");
    first.map_or(AccessOutput::Stdout, |directory| {
        AccessOutput::File(directory.join(format!("{}-access.log", name.instance())))
    })
}

/// The first of the directories that systemd names in a variable.
fn first_directory(variable: &str) -> Option<PathBuf> {
    let directories = std::env::var_os(variable).filter(|value| !value.is_empty());
    directories.map(|directories| first_of(&directories).to_owned())
}

/// Colons separate directories, and may be part of one, for they are part of an instance's name
/// (`/run/brim-state/wsgi:x`); that the next one begins with `/` tells them apart.
fn first_of(directories: &OsStr) -> &Path {
    let bytes = directories.as_bytes();
    let end = bytes.windows(2).position(|two| two == b":/").unwrap_or(bytes.len());
    Path::new(OsStr::from_bytes(bytes.get(..end).unwrap_or(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_in_the_name_of_an_instance_is_no_separator() {
        for (value, first) in [
            ("/run/brim-state/wsgi:x", "/run/brim-state/wsgi:x"),
            ("/run/brim-state/wsgi:x:/run/other", "/run/brim-state/wsgi:x"),
            ("/run/brim-state/wsgi:/run/other", "/run/brim-state/wsgi"),
        ] {
            assert_eq!(first_of(OsStr::new(value)), Path::new(first));
        }
    }
}
