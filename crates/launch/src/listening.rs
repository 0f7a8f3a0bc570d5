//! `ExecStartPost=` of a daemon with `ready = listening`: it counts as started when a process of it has a socket
//! that listens. Nobody tells of that, so it is looked for.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::exit::Exit;
use crate::journal;

/// Between two looks: first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// The state of a TCP socket that listens, in the kernel's tables (proc(5)).
const LISTEN: &str = "0A";
/// The flag of a Unix socket that does (`__SO_ACCEPTCON`).
const ACCEPTS: u32 = 0x10000;

/// Returns when the daemon listens, or its main process is gone; systemd's `TimeoutStartSec=` ends it
/// earlier.
pub(crate) fn wait(daemon: &str) -> Exit {
    let main = std::env::var("MAINPID").ok().and_then(|pid| pid.parse::<u32>().ok());
    let Some(main) = main else {
        journal::error("MAINPID names no process");
        return Exit::Usage;
    };
    let status = format!("waiting until {daemon} listens");
    let _ = sd_notify::notify(&[NotifyState::Status(&status)]);
    let mut pause = PAUSES.0;
    while !listens(Path::new("/proc"), Path::new("/sys/fs/cgroup"), main) {
        if !Path::new(&format!("/proc/{main}")).exists() {
            journal::error(&format!("{daemon} has ended before it listened"));
            return Exit::Refused;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
    let _ = sd_notify::notify(&[NotifyState::Status("")]);
    Exit::Success
}

/// Whether a process of the main process's cgroup listens.
fn listens(proc: &Path, cgroups: &Path, main: u32) -> bool {
    let table = |name: &str| {
        fs::read_to_string(proc.join(format!("{main}/net/{name}"))).unwrap_or_default()
    };
    let mut listening: HashSet<String> = HashSet::new();
    for name in ["tcp", "tcp6"] {
        listening.extend(table(name).lines().skip(1).filter_map(tcp));
    }
    listening.extend(table("unix").lines().skip(1).filter_map(unix));
    let of_process = |pid: u32| {
        let sockets = fs::read_dir(proc.join(format!("{pid}/fd"))).into_iter().flatten().flatten();
        let mut targets = sockets.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| {
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            inode.is_some_and(|inode| listening.contains(inode))
        })
    };
    processes(proc, cgroups, main).into_iter().any(of_process)
}

/// All processes beside the main one that are in its cgroup, and itself.
fn processes(proc: &Path, cgroups: &Path, main: u32) -> Vec<u32> {
    let text = fs::read_to_string(proc.join(format!("{main}/cgroup"))).unwrap_or_default();
    let cgroup = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let others = cgroup
        .and_then(|cgroup| fs::read_to_string(cgroups.join(cgroup).join("cgroup.procs")).ok());
    let others = others.unwrap_or_default();
    let others = others.lines().filter_map(|pid| pid.parse().ok());
    others.chain([main]).collect()
}

/// The inode of a line of `/proc/net/tcp` whose socket listens.
fn tcp(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    words.nth(3).filter(|state| *state == LISTEN)?;
    words.nth(5).map(str::to_owned)
}

/// The inode of a line of `/proc/net/unix` whose socket listens.
fn unix(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
    (flags & ACCEPTS != 0).then(|| words.nth(2).map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_listens_from_its_listen_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let me = std::process::id();
        let none = Path::new("/nonexistent");
        // Other tests of this process do not listen.
        let before = listens(Path::new("/proc"), none, me);
        let socket = std::os::unix::net::UnixListener::bind(path).unwrap();
        let unix = listens(Path::new("/proc"), none, me);
        drop(socket);
        let _datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let datagrams = listens(Path::new("/proc"), none, me);
        let _socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = listens(Path::new("/proc"), none, me);
        assert_eq!((before, unix, datagrams, tcp), (false, true, false, true));
    }
}
