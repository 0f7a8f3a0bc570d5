//! The servers and daemons that run, until all have ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::listen::SocketFile;
use super::server::Server;
use crate::error::Error;
use crate::output;

pub(super) struct Watch {
    signals: Signals,
    servers: Vec<Server>,
    /// What goes with all of them.
    kept: Vec<SocketFile>,
    ending: bool,
    code: Option<u8>,
}

impl Watch {
    /// From here on no signal is missed.
    pub(super) fn new() -> Result<Self, Error> {
        let signals = Signals::new([SIGCHLD, SIGINT, SIGTERM, SIGHUP]).map_err(Error::Watch)?;
        Ok(Self { signals, servers: Vec::new(), kept: Vec::new(), ending: false, code: None })
    }

    pub(super) fn add(&mut self, server: Server) {
        self.servers.push(server);
    }

    /// Keeps a socket until the end.
    pub(super) fn keep(&mut self, file: Option<SocketFile>) {
        self.kept.extend(file);
    }

    /// Returns when no server runs any more: the exit code of the first that ended unasked, or of the
    /// first that did not end well.
    pub(super) fn until_the_end(mut self) -> u8 {
        // The end of one that ended before it was added was told before, too.
        self.reap();
        while !self.servers.is_empty() {
            let signals: Vec<_> = self.signals.wait().collect();
            for signal in signals {
                match signal {
                    SIGCHLD => self.reap(),
                    _ if self.ending => self.send(Signal::KILL),
                    _ => {
                        output::complain("finishing open requests; once more ends it at once");
                        self.end();
                    }
                }
            }
        }
        self.code.unwrap_or(0)
    }

    fn reap(&mut self) {
        let mut ended = Vec::new();
        self.servers.retain_mut(|server| match server.child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                ended.push((server.label.clone(), server.once, status));
                false
            }
            // It is no child of ours any more, so nothing more can be told of it.
            Err(_) => false,
        });
        for (label, once, status) in ended {
            // A program of any sort need not know how to end well.
            let as_asked = self.ending && once && status.signal() == Some(SIGTERM);
            let code = if as_asked { 0 } else { code(status) };
            if !self.ending || code != 0 {
                output::complain(&format!("[{label}] ended with {status}"));
            }
            if self.code.is_none() && (!self.ending && !once || code != 0) {
                self.code = Some(code);
            }
            if !once {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        if !self.ending {
            self.ending = true;
            self.send(Signal::TERM);
        }
    }

    fn send(&self, signal: Signal) {
        for server in &self.servers {
            // Not waited for yet, so the number is still its own, even if it has just ended.
            let _ = kill_process(Pid::from_child(&server.child), signal);
        }
    }
}

/// As a shell tells it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
