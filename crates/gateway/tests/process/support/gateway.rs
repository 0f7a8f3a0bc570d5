use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{PATIENCE, Puppet, eventually};

/// A running gateway; dropping it kills it.
pub(crate) struct Gateway {
    folder: TempDir,
    child: Child,
    notices: UnixDatagram,
    log: Arc<Mutex<String>>,
}

impl Gateway {
    /// With the handler `h` on sockets in the file system, and these keys in its section; what begins with `[` are
    /// further sections. `FOLDER` is a folder of the test.
    pub(crate) fn start(keys: &str) -> Self {
        Self::with("", keys)
    }

    /// The same, with keys of the gateway's own.
    pub(crate) fn with(own: &str, keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notices = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notices.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Self::spawn(folder.path(), own, keys);
        Self::run(folder, notices, child)
    }

    fn run(folder: TempDir, notices: UnixDatagram, mut child: Child) -> Self {
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, sink) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let gateway = Self { folder, child, notices, log };
        gateway.notice("READY=1");
        gateway
    }

    fn spawn(folder: &Path, own: &str, keys: &str) -> Child {
        Self::configure(folder, own, keys);
        Command::new(env!("CARGO_BIN_EXE_brim-gateway"))
            .arg("--config")
            .arg(folder.join("brim.conf"))
            .arg("gateway")
            .env("NOTIFY_SOCKET", folder.join("notify"))
            .env("RUNTIME_DIRECTORY", folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn configure(folder: &Path, own: &str, keys: &str) {
        let text = format!(
            "[gateway]\nlink = FOLDER/link\n{own}\n[h]\ncall = handler\n\
             send_spec = ipc://FOLDER/send\nrecv_spec = ipc://FOLDER/recv\nsend_ident = u-1\n{keys}\n"
        );
        let text = text.replace("FOLDER", &folder.display().to_string());
        std::fs::write(folder.join("brim.conf"), text).unwrap();
    }

    /// Puts other keys in force.
    pub(crate) fn reload(&self, own: &str, keys: &str) {
        Self::configure(self.folder.path(), own, keys);
        self.signal(Signal::HUP);
        self.notice("RELOADING=1");
        self.notice("READY=1");
    }

    /// Kills it and starts another one.
    pub(crate) fn replaced(mut self, own: &str, keys: &str) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let child = Self::spawn(self.folder.path(), own, keys);
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let (notices, _) = UnixDatagram::pair().unwrap();
        let notices = std::mem::replace(&mut self.notices, notices);
        drop(self);
        Self::run(folder, notices, child)
    }

    /// The next message to systemd that holds this text.
    pub(crate) fn notice(&self, text: &str) -> String {
        loop {
            let mut bytes = [0; 65_536];
            match self.notices.recv(&mut bytes) {
                Ok(count) => {
                    let notice = String::from_utf8_lossy(&bytes[..count]).into_owned();
                    if notice.contains(text) {
                        return notice;
                    }
                }
                Err(error) => panic!("no {text:?} ({error}); it said:\n{}", self.log()),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; whether that was a good one.
    pub(crate) fn ends(&mut self) -> bool {
        eventually("the gateway's end", || self.child.try_wait().unwrap()).success()
    }

    /// What it has counted, once it has ended.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        brim_testing::saved(&self.path("counters"), name)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn logs(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.log().contains(text).then_some(()));
    }

    /// The memory that it has now, in KiB.
    pub(crate) fn memory(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most that it ever had, in KiB.
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> usize {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// A handler that does what the test says.
    pub(crate) fn puppet(&self, arguments: &[&str]) -> Puppet {
        let at = |name| format!("ipc://{}", self.path(name).display());
        Puppet::start(&at("send"), &at("recv"), arguments)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the gateway said:\n{}", self.log());
        }
    }
}
