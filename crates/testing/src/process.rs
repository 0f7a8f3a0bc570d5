use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, eventually};

/// A running program with systemd's part played by the test; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    notices: Receiver<String>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// All that it said on standard output.
    pub stdout: String,
    /// All that it said on standard error.
    pub stderr: String,
}

impl Process {
    /// Starts a command, whose outputs are pipes, with these sockets of systemd's, or with none. It tells
    /// this socket how it goes.
    pub fn start(mut command: Command, notify: &Path, sockets: Vec<OwnedFd>) -> Self {
        let notices = UnixDatagram::bind(notify).expect("a socket");
        command.env("NOTIFY_SOCKET", notify);
        if !sockets.is_empty() {
            // Without LISTEN_PID, which nobody knows before the fork.
            command.env("LISTEN_FDS", sockets.len().to_string());
        }
        let sockets = (3..).zip(sockets);
        let sockets = sockets.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        let command = command.fd_mappings(sockets.collect()).expect("numbers of their own");
        let mut child = command.spawn().expect("the program starts");
        let stdout = collect(child.stdout.take().expect("a pipe"));
        let stderr = collect(child.stderr.take().expect("a pipe"));
        Self { child, notices: hear(notices), stdout, stderr }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next message to systemd that holds this text.
    pub fn notice(&self, text: &str) -> String {
        loop {
            match self.notices.recv_timeout(PATIENCE) {
                Ok(notice) if notice.contains(text) => return notice,
                Ok(_) => {}
                Err(error) => panic!("no {text:?} for systemd ({error}); it said:\n{}", self.log()),
            }
        }
    }

    /// Whether such a message comes next, within this time.
    pub fn try_notice(&self, text: &str, time: Duration) -> bool {
        self.notices.recv_timeout(time).is_ok_and(|notice| notice.contains(text))
    }

    /// What it said on standard output so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it said on standard error so far.
    pub fn log(&self) -> String {
        text(&self.stderr)
    }

    /// Waits until standard error holds this text.
    pub fn logs(&self, text: &str) -> String {
        eventually(text, || Some(self.log()).filter(|log| log.contains(text)))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process");
    }

    /// Reloads, and returns what systemd was told when that was over.
    pub fn reload(&self) -> String {
        self.signal(Signal::HUP);
        self.notice("RELOADING=1");
        self.notice("READY=1")
    }

    /// Begins the drain, and waits until it has begun.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
        self.notice("STOPPING=1");
    }

    /// Waits for the end.
    pub fn ended(mut self) -> Ended {
        let status = eventually("the end", || self.child.try_wait().expect("a child"));
        // Those who read what it says let go at the end.
        let readers = || Arc::strong_count(&self.stdout) + Arc::strong_count(&self.stderr);
        eventually("its last words", || (readers() == 2).then_some(()));
        Ended { code: status.code(), stdout: self.stdout(), stderr: self.log() }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("a child");
    }

    /// Its open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("a process").count()
    }

    /// Its resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory that it ever had, in KiB.
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let size = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        size.expect("a size")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- its standard error:\n{}---", self.log());
        }
    }
}

/// The total of a counter in a file of counters, which outlives its process.
pub fn saved(counters: &Path, name: &str) -> u64 {
    let bytes = std::fs::read(counters).unwrap_or_default();
    let saved: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let values = saved["stats"][name]["values"].as_array().cloned().unwrap_or_default();
    values.iter().filter_map(serde_json::Value::as_u64).sum()
}

fn text(collected: &Mutex<String>) -> String {
    collected.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Takes every message at once, as systemd does: a sender waits when too many lie about.
fn hear(socket: UnixDatagram) -> Receiver<String> {
    let (heard, notices) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length) = socket.recv(&mut buffer) {
            let notice = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            if heard.send(notice.into_owned()).is_err() {
                return;
            }
        }
    });
    notices
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let collected = text.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut text = collected.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    });
    text
}
