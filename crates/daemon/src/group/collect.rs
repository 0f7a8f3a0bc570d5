//! What the daemons report: datagrams, each with the credentials of its sender.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use brim_service::Current;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, SocketAddrAny,
    SocketAddrUnix, bind, recvmsg, sendto, sockopt,
};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::GroupWorker;
use super::figures::Refusal;
use super::systemd::Systemd;
use crate::line::{REPORT_MAX, lines};

/// For how long it is known whose process a number is. The kernel does not give a number away again so soon.
const KNOWN: Duration = Duration::from_secs(1);
/// The most numbers that are remembered.
const KNOWN_MAX: usize = 1024;

/// The most that is told of bad reports.
const TOLD_MAX: usize = 100;
/// How soon the socket is opened anew after a failure.
const AGAIN: Duration = Duration::from_secs(5);

/// One datagram.
struct Report {
    length: usize,
    /// It was longer than what is taken.
    cut: bool,
    pid: Option<u32>,
    /// Where a sender that has an address wants to hear what came of it.
    from: Option<SocketAddrAny>,
}

/// Takes reports, for ever.
pub(super) async fn collect(current: Current<GroupWorker>) {
    let mut told = false;
    loop {
        let path = current.get().socket.clone();
        match open(&path) {
            Ok(socket) => {
                told = false;
                take_all(&current, &socket).await;
            }
            Err(_) if told => {}
            Err(error) => {
                told = true;
                tracing::error!(path = %path.display(), %error, "no reports can be taken");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Opens the socket, in place of one that an earlier process has left behind. Everybody may write to it:
/// who it was is known of each report.
fn open(path: &Path) -> io::Result<UnixDatagram> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    // Before it has a name, so that there is no report without.
    sockopt::set_socket_passcred(&socket, true)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    UnixDatagram::from_std(socket)
}

/// Returns when the socket is of no use any more.
async fn take_all(current: &Current<GroupWorker>, socket: &UnixDatagram) {
    let mut senders = Senders::default();
    let mut told = Told::default();
    let mut buffer = vec![0; REPORT_MAX];
    loop {
        let received = socket.async_io(Interest::READABLE, || receive(socket, &mut buffer)).await;
        let report = match received {
            Ok(report) => report,
            Err(error) => return tracing::error!(%error, "a report could not be received"),
        };
        let daemon = senders.daemon_of(report.pid).await;
        let worker = current.get();
        let answer = match daemon {
            Some(daemon) => {
                let bytes = buffer.get(..report.length).unwrap_or_default();
                take(&worker, &daemon, bytes, report.cut, &mut told)
            }
            None => stray(&worker, report.pid, &mut told),
        };
        if let Some(from) = &report.from {
            // Whoever does not listen does not want to know.
            let _ = sendto(socket, answer.as_bytes(), SendFlags::DONTWAIT, from);
        }
    }
}

fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<Report> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(buffer)];
    let received = recvmsg(socket.as_fd(), &mut into, &mut control, RecvFlags::DONTWAIT)?;
    let pid = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => {
            u32::try_from(sender.pid.as_raw_nonzero().get()).ok()
        }
        _ => None,
    });
    Ok(Report {
        length: received.bytes,
        cut: received.flags.contains(ReturnFlags::TRUNC),
        pid,
        from: received.address.filter(is_bound),
    })
}

/// Whether a sender has an address at all.
fn is_bound(address: &SocketAddrAny) -> bool {
    let address = SocketAddrUnix::try_from(address.clone());
    address.is_ok_and(|address| address.path().is_some() || address.abstract_name().is_some())
}

/// Does what the lines of a report say; what its sender may want to hear.
fn take(worker: &GroupWorker, daemon: &str, report: &[u8], cut: bool, told: &mut Told) -> String {
    let Some(figures) = worker.daemons.get(daemon) else {
        worker.stray_reports.incr();
        return format!("{daemon} is a daemon of another group\n");
    };
    let mut refused = Vec::new();
    if cut {
        worker.bad_reports.incr();
        refused.push(format!("a report has more than {REPORT_MAX} bytes"));
    }
    for line in lines(if cut { b"" } else { report }) {
        let Ok(line) = line else {
            worker.bad_reports.incr();
            refused.push("a line is neither NAME=VALUE nor NAME+=N".to_owned());
            continue;
        };
        match figures.apply(line) {
            Ok(()) => worker.reports.incr(),
            Err(Refusal::Unknown) => {
                worker.unknown_stats.incr();
                refused.push(format!("{} is not declared by stats =", line.name));
            }
            Err(Refusal::NotASum) => {
                worker.bad_reports.incr();
                refused.push(format!("{} is no sum, so nothing is added to it", line.name));
            }
        }
    }
    let Some(first) = refused.first() else { return "ok\n".to_owned() };
    if told.is_new(daemon, first) {
        tracing::warn!(daemon, "reported what is not taken: {first}");
    }
    refused.join("\n") + "\n"
}

/// A report of somebody who is no daemon, or was gone before he could be asked after.
fn stray(worker: &GroupWorker, pid: Option<u32>, told: &mut Told) -> String {
    worker.stray_reports.incr();
    if told.is_new("", "") {
        tracing::warn!(
            pid,
            "a report of a process that is no daemon's, or is gone; more are counted"
        );
    }
    "the sender is no process of a daemon\n".to_owned()
}

/// What has been told of a daemon: it would be told again with each report.
#[derive(Default)]
struct Told(HashSet<(String, String)>);

impl Told {
    fn is_new(&mut self, daemon: &str, what: &str) -> bool {
        self.0.len() < TOLD_MAX && self.0.insert((daemon.to_owned(), what.to_owned()))
    }
}

/// Whose process a number is, as systemd has told lately.
#[derive(Default)]
struct Senders {
    systemd: Option<Systemd>,
    known: HashMap<u32, (Instant, Option<String>)>,
}

impl Senders {
    async fn daemon_of(&mut self, pid: Option<u32>) -> Option<String> {
        let pid = pid?;
        let now = Instant::now();
        if let Some((since, daemon)) = self.known.get(&pid)
            && now.duration_since(*since) < KNOWN
        {
            return daemon.clone();
        }
        let daemon = self.ask(pid).await;
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(pid, (now, daemon.clone()));
        daemon
    }

    async fn ask(&mut self, pid: u32) -> Option<String> {
        if self.systemd.is_none() {
            self.systemd = Systemd::connect().await.ok();
        }
        match self.systemd.as_ref()?.daemon_of(pid).await {
            Ok(daemon) => daemon,
            Err(error) => {
                tracing::warn!(%error, "systemd does not tell who reports");
                self.systemd = None;
                None
            }
        }
    }
}
