//! A daemon's side of its figures: what changes is sent to the group, a few times a second.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::line::{Change, REPORT_MAX};

/// How soon a change is sent.
const SOON: Duration = Duration::from_millis(200);

/// The changes that were not sent yet, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports(Rc<RefCell<BTreeMap<String, Change>>>);

/// A figure of a daemon, to be shown by its group. Nothing of it is kept here: what it was before this
/// process, it is still, until it is set.
#[derive(Clone, Debug)]
pub struct Counter {
    name: Rc<str>,
    reports: Reports,
}

impl Counter {
    /// Adds 1.
    pub fn incr(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.reports.note(&self.name, |change| match change {
            None => Change::Add(n),
            Some(Change::Add(more)) => Change::Add(more.saturating_add(n)),
            Some(Change::Set(value)) => Change::Set(value.saturating_add(n)),
        });
    }

    /// Sets the value.
    pub fn set(&self, value: u64) {
        self.reports.note(&self.name, |_| Change::Set(value));
    }
}

impl Reports {
    pub(crate) fn counter(&self, name: &str) -> Counter {
        Counter { name: name.into(), reports: self.clone() }
    }

    fn note(&self, name: &str, change: impl FnOnce(Option<Change>) -> Change) {
        let mut changes = self.0.borrow_mut();
        let earlier = changes.get(name).copied();
        changes.insert(name.to_owned(), change(earlier));
    }

    /// Sends what changes, for ever.
    pub(crate) async fn keep_sending(&self, way: &Way) {
        let mut ticks = interval(SOON);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.send(way);
        }
    }

    /// Sends what has changed. What cannot be sent now is kept for the next time.
    pub(crate) fn send(&self, way: &Way) {
        for (report, names) in self.pack() {
            if let Err(error) = way.socket.send_to(report.as_bytes(), &way.path) {
                tracing::debug!(%error, "figures could not be sent");
                return;
            }
            let mut changes = self.0.borrow_mut();
            changes.retain(|name, _| !names.contains(name));
        }
    }

    /// Everything that has changed, in reports of the size that is taken.
    fn pack(&self) -> Vec<(String, Vec<String>)> {
        let mut reports: Vec<(String, Vec<String>)> = Vec::new();
        for (name, change) in &*self.0.borrow() {
            let line = match change {
                Change::Set(value) => format!("{name}={value}\n"),
                Change::Add(value) => format!("{name}+={value}\n"),
            };
            match reports.last_mut() {
                Some((report, names)) if report.len() + line.len() <= REPORT_MAX => {
                    report.push_str(&line);
                    names.push(name.clone());
                }
                _ => reports.push((line, vec![name.clone()])),
            }
        }
        reports
    }
}

/// The way to the group.
#[derive(Debug)]
pub(crate) struct Way {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Way {
    /// To the socket that `BRIM_STATS` names; none where there is no group.
    pub(crate) fn from_environment() -> Option<Self> {
        let path = std::env::var_os("BRIM_STATS").filter(|path| !path.is_empty())?;
        Self::to(path.into()).ok()
    }

    /// Not connected: the group may be gone for a while, and its next socket is another one.
    fn to(path: PathBuf) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A group that does not read costs figures, not the daemon's time.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_figure_are_sent_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats");
        let theirs = UnixDatagram::bind(&path).unwrap();
        let ours = Way::to(path).unwrap();
        let reports = Reports::default();
        let (jobs, size) = (reports.counter("jobs"), reports.counter("size"));
        for _ in 0..3 {
            jobs.incr();
        }
        size.set(7);
        size.add(2);
        reports.send(&ours);
        reports.send(&ours);
        jobs.add(4);
        reports.send(&ours);
        let mut buffer = [0; 100];
        let mut next = || {
            let length = theirs.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!([next(), next()], ["jobs+=3\nsize=9\n", "jobs+=4\n"]);
    }

    #[test]
    fn what_cannot_be_sent_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let ours = Way::to(folder.path().join("nobody")).unwrap();
        let reports = Reports::default();
        reports.counter("jobs").incr();
        reports.send(&ours);
        reports.counter("jobs").incr();
        assert_eq!(reports.pack().len(), 1);
        assert_eq!(reports.pack()[0].0, "jobs+=2\n");
    }

    #[test]
    fn many_figures_make_several_reports() {
        let reports = Reports::default();
        for index in 0..1000 {
            reports.counter(&format!("figure_{index}")).set(u64::MAX);
        }
        let packed = reports.pack();
        assert!(packed.len() > 1 && packed.iter().all(|(report, _)| report.len() <= REPORT_MAX));
        assert_eq!(packed.iter().map(|(_, names)| names.len()).sum::<usize>(), 1000);
    }
}
