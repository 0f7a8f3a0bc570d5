use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use crate::eventually;
use crate::home::Home;
use crate::process::{Process, saved};

/// A running server of a [`Home`].
#[derive(Debug)]
pub struct Server {
    home: Rc<Home>,
    process: Process,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(home: Rc<Home>, notify: &Path, sockets: Vec<OwnedFd>) -> Self {
        let process = Process::start(home.command(), notify, sockets);
        process.notice("READY=1");
        Self { home, process }
    }

    /// What outlives it.
    pub fn home(&self) -> &Rc<Home> {
        &self.home
    }

    /// The address of its home.
    pub fn address(&self) -> SocketAddr {
        self.home.address()
    }

    /// Waits for the end; returns the exit code.
    pub fn ended(self) -> Option<i32> {
        self.process.ended().code
    }

    /// Ends it well, and starts the next one.
    pub fn restarted(self) -> Self {
        let home = self.home.clone();
        self.terminate();
        assert_eq!(self.ended(), Some(0));
        home.start()
    }

    /// The total of a counter, read from the file that outlives the server.
    pub fn saved(&self, name: &str) -> u64 {
        saved(&self.home.counters(), name)
    }

    /// Waits until the file of counters has this total.
    pub fn saves(&self, name: &str, value: u64) {
        eventually(&format!("{name} = {value}"), || (self.saved(name) == value).then_some(()));
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}
