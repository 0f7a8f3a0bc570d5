use std::cell::Cell;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use brim_testing::Ended;
use tempfile::TempDir;

use super::daemon::Daemon;

pub(crate) const BRIM_HTTP: &str = env!("CARGO_BIN_EXE_brim-http");

/// What outlives a daemon: its configuration, its directories, its listening socket.
pub(crate) struct Home {
    directory: TempDir,
    /// Stays open between two lives, as under systemd.
    pub(crate) listener: TcpListener,
    section: String,
    program: PathBuf,
    descriptors: u32,
    environment: Vec<(&'static str, String)>,
    lives: Cell<u32>,
}

/// A running daemon with these keys in `[wsgi]` (and what other sections follow them).
pub(crate) fn serve(keys: &str) -> Daemon {
    Home::new(keys).shared().start()
}

/// The same with the apps of `examples/trial.rs`.
pub(crate) fn serve_trial(keys: &str) -> Daemon {
    Home::new(keys).program(example("trial")).shared().start()
}

/// A program of `examples/`. Cargo builds them with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    brim_testing::example(BRIM_HTTP, name)
}

/// Runs `brim-http` to its end.
pub(crate) fn finished(arguments: &[&str]) -> Ended {
    finished_by(Path::new(BRIM_HTTP), arguments)
}

/// Runs `examples/trial.rs` to its end.
pub(crate) fn trial_finished(arguments: &[&str]) -> Ended {
    finished_by(&example("trial"), arguments)
}

fn finished_by(program: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(program).args(arguments).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Home {
    /// A home with these keys in `[wsgi]`; whatever sections follow the keys are taken along.
    pub(crate) fn new(keys: &str) -> Self {
        Self::of("wsgi", keys)
    }

    /// A home of another section.
    pub(crate) fn of(section: &str, keys: &str) -> Self {
        let home = Self {
            directory: tempfile::tempdir().unwrap(),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            section: section.to_owned(),
            program: BRIM_HTTP.into(),
            descriptors: 4096,
            environment: Vec::new(),
            lives: Cell::new(0),
        };
        for directory in ["run", "logs"] {
            std::fs::create_dir(home.path(directory)).unwrap();
        }
        home.configure(keys);
        home
    }

    pub(crate) fn program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// How many descriptors the program may have.
    pub(crate) fn descriptors(mut self, limit: u32) -> Self {
        self.descriptors = limit;
        self
    }

    /// Sets a variable for the program, or unsets it when the value is empty.
    pub(crate) fn environment(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub(crate) fn shared(self) -> Rc<Self> {
        Rc::new(self)
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, keys: &str) {
        // One worker by default, so that a request is counted before the next one is answered.
        let (section, address) = (&self.section, self.address());
        let defaults = "[brim]\nworkers = 1";
        self.write_config(&format!("[{section}]\nlisten = {address}\n{keys}\n{defaults}\n"));
    }

    /// Writes the configuration anew, to the letter.
    pub(crate) fn write_config(&self, text: &str) {
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("brim.conf")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where systemd's counters directory would be.
    pub(crate) fn counters(&self) -> PathBuf {
        self.path("run/counters")
    }

    /// The program with everything that systemd gives it but sockets.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={}", self.descriptors)).arg(&self.program);
        let (unset, set): (Vec<_>, Vec<_>) =
            self.environment.iter().partition(|(_, value)| value.is_empty());
        command
            .arg("--config")
            .arg(self.config())
            .arg(&self.section)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RUNTIME_DIRECTORY", self.path("run"))
            .env("LOGS_DIRECTORY", self.path("logs"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", self.path("no-bus").display()))
            .envs(set.into_iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, _) in unset {
            command.env_remove(name);
        }
        command
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) fn start(self: &Rc<Self>) -> Daemon {
        self.start_with(vec![self.listener.try_clone().unwrap().into()])
    }

    /// Starts a daemon with these sockets of systemd's, or with none.
    pub(crate) fn start_with(self: &Rc<Self>, sockets: Vec<OwnedFd>) -> Daemon {
        self.lives.set(self.lives.get() + 1);
        Daemon::start(self, &self.path(format!("notify-{}", self.lives.get())), sockets)
    }
}
