use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use brim_testing::{Ended, Process};

use super::home::Home;
use super::{Client, curl, eventually, get};

/// A running daemon; dropping it kills it.
pub(crate) struct Daemon {
    pub(crate) home: Rc<Home>,
    /// The message that told systemd of the start's end.
    pub(crate) ready: String,
    process: Process,
}

impl Daemon {
    pub(super) fn start(home: &Rc<Home>, notify: &Path, sockets: Vec<OwnedFd>) -> Self {
        let process = Process::start(home.command(), notify, sockets);
        let ready = process.notice("READY=1");
        Self { home: home.clone(), ready, process }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.home.address()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Begins the drain, and waits until its only worker knows.
    pub(crate) fn drains(&self) {
        self.terminate();
        eventually("an answer that closes", || self.client().get("/").closes().then_some(()));
    }

    /// What it has cost until now.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // User and system time, the 14th and 15th field, in hundredths of a second.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
        Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
    }

    /// Waits for the end.
    pub(crate) fn ended(self) -> Ended {
        self.process.ended()
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    pub(crate) fn access_log(&self) -> PathBuf {
        let section = std::fs::read_to_string(self.home.config()).unwrap();
        let section = section.lines().next().unwrap().trim_matches(['[', ']']).replace('#', ":");
        self.home.path("logs").join(format!("{section}-access.log"))
    }

    /// Waits until the access log has so many lines, and returns all that it has.
    pub(crate) fn access_lines(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} access lines"), || {
            let log = std::fs::read_to_string(self.access_log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().map(str::to_owned).collect();
            (lines.len() >= count && log.ends_with('\n')).then_some(lines)
        })
    }

    /// The total of a counter, read from the file that outlives the daemon.
    pub(crate) fn saved(&self, name: &str) -> u64 {
        brim_testing::saved(&self.home.counters(), name)
    }

    /// Waits until the file of counters has this total.
    pub(crate) fn saves(&self, name: &str, value: u64) {
        eventually(&format!("{name} = {value}"), || (self.saved(name) == value).then_some(()));
    }

    /// A section's totals in `/stats`, which has to be among the apps.
    pub(crate) fn stats(&self) -> serde_json::Value {
        serde_json::from_slice(&get(self, "/stats").body).unwrap()
    }

    /// The totals of `[wsgi]`, as this user.
    pub(crate) fn stats_as(&self, credentials: &str) -> serde_json::Value {
        let url = format!("http://{}/stats", self.address());
        let mut stats: serde_json::Value =
            serde_json::from_str(&curl(&["-s", "-u", credentials, &url])).unwrap();
        stats["wsgi"].take()
    }
}

impl Deref for Daemon {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}
