//! What every test needs: the programs, a configuration of its own, a bus, a client.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The folder of brimctl, with the servers' programs beside it.
pub(crate) fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_brimctl")).parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        // The whole workspace: of single packages the dependencies would have other features, and
        // be built a second time.
        build.args(["build", "--quiet", "--locked", "--workspace", "--bins", "--tests"]);
        // Of the package that is tested. Build scripts (ring's) run again when these change, and
        // everything above them is built anew, here and then by whoever builds next.
        for (name, _) in std::env::vars() {
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                build.env_remove(name);
            }
        }
        build.arg("--target-dir").arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "brim-http and brim-launch do not build");
        folder.to_owned()
    })
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Said {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// A folder of the test's own: a root with a configuration, and sockets.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    /// `@` in the configuration stands for the folder.
    pub(crate) fn new(conf: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.path().join("etc/brim/brim.conf.d")).unwrap();
        place.configure(conf);
        place
    }

    pub(crate) fn configure(&self, conf: &str) {
        let conf = conf.replace('@', self.path().to_str().unwrap());
        fs::write(self.conf(), conf).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn conf(&self) -> PathBuf {
        self.path().join("etc/brim/brim.conf")
    }

    /// A shell script that serves as a section's `program`.
    pub(crate) fn script(&self, name: &str, script: &str) {
        let file = self.file(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `brimctl COMMAND --root ...`, without a bus.
    pub(crate) fn brimctl(&self, arguments: &[&str]) -> Command {
        self.program("brimctl", arguments)
    }

    pub(crate) fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs().join(name));
        command.args(arguments).arg("--root").arg(self.path()).stdin(Stdio::null());
        self.environment(&mut command);
        command
    }

    /// `brimctl COMMAND -c FILE`.
    pub(crate) fn brimctl_file(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs().join("brimctl"));
        command.args(arguments).arg("-c").arg(self.conf()).stdin(Stdio::null());
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        for variable in ["LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "JOURNAL_STREAM", "MAINPID"] {
            command.env_remove(variable);
        }
        let bus = format!("unix:path={}", self.file("bus").display());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus).env_remove("BRIM_LIBEXEC");
    }

    /// A request over a Unix socket of this place; the body of the answer.
    pub(crate) fn request(&self, socket: &str, request: &str) -> String {
        let mut stream = UnixStream::connect(self.file(socket)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        answer(stream)
    }

    pub(crate) fn get(&self, socket: &str, path: &str) -> String {
        self.request(
            socket,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        )
    }
}

/// The whole of an answer, to the end of the connection.
pub(crate) fn answer(mut stream: UnixStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A process that is gone when the test is.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for the end; what was not read yet of its output is there.
    pub(crate) fn ended(mut self) -> Said {
        let (mut out, mut err) = (String::new(), String::new());
        let stderr = self.0.stderr.take();
        let reader = std::thread::spawn(move || {
            stderr.into_iter().for_each(|mut stderr| drop(stderr.read_to_string(&mut err)));
            err
        });
        if let Some(mut stdout) = self.0.stdout.take() {
            stdout.read_to_string(&mut out).unwrap();
        }
        let status = self.0.wait().unwrap();
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        Said { code, out, err: reader.join().unwrap() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A system bus of the test's own, at the place's `bus`.
pub(crate) fn bus(place: &Place) -> Running {
    let config = format!(
        "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN'\n\
         'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\n\
         <busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\n\
         <policy context='default'><allow user='*'/><allow own='*'/><allow send_type='method_call'/>\n\
         <allow send_type='signal'/><allow send_requested_reply='true'/><allow receive_type='method_call'/>\n\
         <allow receive_type='method_return'/><allow receive_type='error'/></policy></busconfig>\n",
        place.file("bus").display()
    );
    let file = place.file("bus.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("dbus-daemon");
    command.arg("--nofork").arg("--print-address").arg("--config-file").arg(file);
    let mut bus = Running::start(&mut command);
    let mut address = String::new();
    BufReader::new(bus.0.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
    assert!(address.starts_with("unix:"), "dbus-daemon does not start");
    bus
}
