//! `brim-launch` as systemd executes it.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const LAUNCH: &str = env!("CARGO_BIN_EXE_brim-launch");

/// A configuration below a root of its own.
struct Root(tempfile::TempDir);

impl Root {
    fn new(conf: &str) -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(root.path().join("etc/brim")).unwrap();
        fs::write(root.path().join("etc/brim/brim.conf"), conf).unwrap();
        root
    }

    /// A root whose [wsgi] has a shell script for its program; `@PROGRAM@` in `conf` is its path.
    fn with_program(conf: &str, script: &str) -> Self {
        let root = Self::new("");
        let program = root.path().join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let conf = conf.replace("@PROGRAM@", program.to_str().unwrap());
        fs::write(root.path().join("etc/brim/brim.conf"), conf).unwrap();
        root
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(LAUNCH);
        command.arg("--root").arg(self.path()).args(arguments).stdin(Stdio::null());
        for variable in ["LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "JOURNAL_STREAM", "MAINPID"] {
            command.env_remove(variable);
        }
        // No bus, unless a test makes one.
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
        command
    }
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Said {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

#[test]
fn it_becomes_the_program_of_the_section_and_hands_everything_on() {
    let root = Root::with_program(
        "[wsgi]\nprogram = @PROGRAM@\nworkers = nonsense\n",
        "echo \"$@\"; echo pid $$ $LISTEN_PID; readlink /proc/$$/fd/3",
    );
    // The shell becomes brim-launch, and that the program: one process all the way.
    let script = "exec 3</dev/zero; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    let mut command = root.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", script, LAUNCH]).args(command.get_args()).arg("wsgi");
    for (key, value) in command.get_envs() {
        shell.env(key, value.unwrap_or_default());
    }
    command = shell;
    let said = said(&mut command);
    let mut lines = said.out.lines();
    assert_eq!(lines.next().unwrap(), format!("--root {} wsgi", root.path().display()));
    let pids: Vec<_> = lines.next().unwrap().split(' ').collect();
    assert_eq!(pids[1], pids[2], "LISTEN_PID is still true");
    assert_eq!(lines.next(), Some("/dev/zero"));
    // What is wrong with the section is for the program to say.
    assert_eq!((said.err.as_str(), said.code), ("", 0));
}

#[test]
fn a_section_that_does_not_exist_is_answered_by_those_that_do() {
    let root = Root::new("[wsgi]\n[wsgi#alternate]\nport = 8902\n");
    let notify = root.path().join("notify");
    let socket = UnixDatagram::bind(&notify).unwrap();
    for instance in ["nonsense", "wsgi:other"] {
        let said = said(root.command(&[instance]).env("NOTIFY_SOCKET", &notify));
        assert_eq!(said.code, 78, "{}", said.err);
        let expected = format!(
            "there is no section [{}]; there is [wsgi] (brim@wsgi), [wsgi#alternate] \
             (brim@wsgi:alternate); looked at /etc/brim/brim.conf ",
            instance.replace(':', "#")
        );
        assert!(said.err.starts_with(&expected), "{}", said.err);
        assert!(said.err.contains("/usr/lib/brim/brim.conf.d"), "{}", said.err);
        assert_eq!(said.err.lines().count(), 1);
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&bytes[..length]).trim(),
            format!("STATUS={}", said.err.trim())
        );
    }
}

#[test]
fn a_missing_section_comes_with_what_is_wrong_with_the_files() {
    let root = Root::new("[wsgi\nport = 1\n");
    let said = said(&mut root.command(&["wsgi"]));
    assert_eq!(said.code, 78);
    let mut lines = said.err.lines();
    assert!(lines.next().unwrap().starts_with("/etc/brim/brim.conf:1: "), "{}", said.err);
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with("there is no section [wsgi], and no other that has a server; looked at"),
        "{}",
        said.err
    );
}

#[test]
fn a_hash_in_the_name_of_a_unit_is_told_its_right_name() {
    let root = Root::new("[wsgi#x]\n");
    let said = said(&mut root.command(&["wsgi\\x23x"]));
    assert_eq!(
        (said.err.as_str(), said.code),
        (
            "the unit of [wsgi#x] is brim@wsgi:x; start that one, a unit's name cannot hold a #\n",
            64
        )
    );
}

#[test]
fn a_daemon_is_run_by_the_program_of_its_group() {
    let root = Root::with_program(
        "[daemons]\ndaemons = a\n[daemons#b]\nprogram = @PROGRAM@\ndaemons = x\n[a]\ncall = a\n[x]\ncall = x\n",
        "echo \"$@\"",
    );
    let done = said(&mut root.command(&["--daemon", "x"]));
    let root_path = root.path().display();
    assert_eq!((done.out, done.code), (format!("--run --root {root_path} x\n"), 0), "{}", done.err);
    let none = said(&mut root.command(&["--daemon", "y"]));
    let why = "no group lists a daemon y; [daemons] lists a, [daemons#b] lists x\n";
    assert_eq!((none.err.as_str(), none.code), (why, 78));
}

#[test]
fn a_program_that_is_not_there_names_the_line_that_names_it() {
    let root = Root::new("[wsgi]\n\nprogram = /nonexistent/mine\n");
    let said = said(&mut root.command(&["wsgi"]));
    assert_eq!(said.code, 78);
    let expected = "/etc/brim/brim.conf:3: [wsgi] program: /nonexistent/mine cannot be executed: ";
    assert!(said.err.starts_with(expected), "{}", said.err);
}

#[test]
fn a_missing_program_of_our_own_is_not_the_configurations_fault() {
    let root = Root::new("[wsgi]\n");
    let alone = root.path().join("brim-launch");
    fs::copy(LAUNCH, &alone).unwrap();
    let mut command = Command::new(&alone);
    let said = said(command.arg("--root").arg(root.path()).arg("wsgi"));
    assert_eq!(said.code, 71);
    let brim_http = fs::canonicalize(root.path()).unwrap().join("brim-http");
    let expected = format!("{} cannot be executed: ", brim_http.display());
    assert!(said.err.starts_with(&expected), "{}", said.err);
}

#[test]
fn a_wrong_command_line_is_64() {
    let root = Root::new("");
    for arguments in [&["--fast", "wsgi"][..], &[], &["wsgi", "wsgi:x"], &["wsgi:-x"]] {
        let said = said(&mut root.command(arguments));
        assert_eq!(said.code, 64, "{arguments:?} {}", said.err);
    }
    assert!(said(&mut root.command(&["--help"])).out.contains("--reload"));
    assert!(said(&mut root.command(&["--version"])).out.starts_with("brim-launch "));
}

/// A process to send signals to, which ends with 9 when it gets SIGHUP.
fn hung_up(root: &Root, arguments: &[&str]) -> (Said, Option<i32>) {
    let mut main = Command::new("sh")
        .args(["-c", "trap 'exit 9' HUP; echo ready; while :; do sleep 0.05; done"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(main.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let said = said(root.command(arguments).env("MAINPID", main.id().to_string()));
    let told = said.err.contains("SIGHUP sent");
    if !told {
        main.kill().unwrap();
    }
    (said, main.wait().unwrap().code())
}

#[test]
fn without_a_bus_a_reload_is_a_signal() {
    let root = Root::with_program("[wsgi]\nprogram = @PROGRAM@\n", "echo \"$@\" >&2; exit 0");
    let (said, code) = hung_up(&root, &["--reload", "wsgi"]);
    assert!(said.err.contains("the system bus cannot be reached"), "{}", said.err);
    assert_eq!((said.code, code), (0, Some(9)), "{}", said.err);
}

#[test]
fn without_a_bus_a_bad_configuration_is_no_signal() {
    let script = "echo '/etc/brim/brim.conf:3: [wsgi] port: is bad'; exit 78";
    let root = Root::with_program("[wsgi]\nprogram = @PROGRAM@\n", script);
    let (said, code) = hung_up(&root, &["--reload", "wsgi"]);
    assert!(said.err.starts_with("/etc/brim/brim.conf:3: [wsgi] port: is bad\n"), "{}", said.err);
    assert!(said.err.ends_with("reload refused, the old configuration goes on\n"), "{}", said.err);
    assert_eq!((said.code, code), (78, None), "{}", said.err);
}

#[test]
fn what_a_check_prints_is_in_order_and_each_line_once() {
    let script = "echo '/etc/brim/brim.conf:9: [echo] max_echo: is bad'\n\
                  echo '/etc/brim/brim.conf:4: warning: [wsgi] user: has no effect'; exit 78";
    let root = Root::with_program("[wsgi]\nprogram = @PROGRAM@\njunk\n", script);
    let (said, _) = hung_up(&root, &["--reload", "wsgi"]);
    let places: Vec<_> = said.err.lines().take(3).map(|line| &line[..22]).collect();
    assert_eq!(
        places,
        ["/etc/brim/brim.conf:3:", "/etc/brim/brim.conf:4:", "/etc/brim/brim.conf:9:"],
        "{}",
        said.err
    );
}

#[test]
fn a_check_that_crashes_fails_the_reload() {
    let root = Root::with_program("[wsgi]\nprogram = @PROGRAM@\n", "echo oh >&2; exit 3");
    let (said, code) = hung_up(&root, &["--reload", "wsgi"]);
    assert!(said.err.contains("--check ended with exit status: 3: oh"), "{}", said.err);
    assert_eq!((said.code, code), (78, None), "{}", said.err);
}

#[test]
fn the_journal_is_told_what_is_an_error_and_what_a_warning() {
    let script = "echo '/etc/brim/brim.conf:2: warning: [wsgi] user: has no effect'\n\
                  echo '/etc/brim/brim.conf:3: [wsgi] port: is bad'; exit 78";
    let root = Root::with_program("[wsgi]\nprogram = @PROGRAM@\n", script);
    let file = root.path().join("journal");
    let journal = fs::File::create(&file).unwrap();
    let stat = rustix::fs::fstat(&journal).unwrap();
    let mut command = root.command(&["--reload", "wsgi"]);
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino)).stderr(journal);
    assert_eq!(command.status().unwrap().code(), Some(78));
    let text = fs::read_to_string(PathBuf::from(&file)).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("<4>/etc/brim/brim.conf:2: warning: "), "{text}");
    assert!(lines.next().unwrap().starts_with("<3>/etc/brim/brim.conf:3: "), "{text}");
}
