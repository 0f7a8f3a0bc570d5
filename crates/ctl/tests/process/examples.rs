//! The folders of `examples`: the commands of each README are run as they stand there, and say what it
//! says that they say.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::bench::{Running, programs, said, until};

/// Where the examples say that they lie.
const PREFIX: &str = "/srv/brim";

/// A command and what it prints.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    output: String,
}

/// The indented lines of a README: a command behind each dollar sign, its output below.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in readme.lines().filter_map(|line| line.strip_prefix("    ")) {
        match line.strip_prefix("$ ") {
            Some(command) => {
                steps.push(Step { command: command.to_owned(), output: String::new() });
            }
            None => steps.last_mut().unwrap().output += &format!("{line}\n"),
        }
    }
    steps
}

/// A shell whose processes end with it.
struct Shell(Running);

impl Shell {
    /// Runs a script in the folder of examples.
    fn start(script: &str, folder: &Path) -> Self {
        let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command
            .args(["-euc", script])
            .current_dir(folder)
            .env("PATH", path)
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .process_group(0);
        Self(Running::start(&mut command))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0.0), Signal::KILL);
    }
}

/// Ports that are free, in place of those that stand there. They are below those that the kernel gives to whoever
/// asks for any, so that nobody takes them before the example does.
fn free_ports(text: &mut [String], ports: &[&str]) -> Vec<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut free = Vec::new();
    for port in ports {
        let (number, address) = std::iter::repeat_with(|| {
            let step = std::process::id().wrapping_mul(7) + NEXT.fetch_add(1, Ordering::Relaxed);
            let number = 10_000 + step % 20_000;
            (number.to_string(), format!("127.0.0.1:{number}"))
        })
        // What stands for one port must not look like another one.
        .filter(|(number, _)| !ports.iter().any(|port| number.contains(port)))
        .find(|(_, address)| TcpListener::bind(address).is_ok())
        .unwrap();
        text.iter_mut().for_each(|text| *text = text.replace(port, &number));
        free.push(address.parse().unwrap());
    }
    free
}

/// Runs an example in a folder of the test's own.
fn works(name: &str, ports: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let copied = said(Command::new("cp").arg("-r").arg(examples).arg(place.path()));
    assert_eq!(copied.code, 0, "{}", copied.err);
    let folder = place.path().join("examples").join(name);
    let files = ["README.md", "brim.conf"].map(|file| folder.join(file));
    let prefix = place.path().join("srv").to_str().unwrap().to_owned();
    let mut texts: Vec<_> = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap().replace(PREFIX, &prefix))
        .collect();
    let addresses = free_ports(&mut texts, ports);
    files.iter().zip(&texts).for_each(|(file, text)| fs::write(file, text).unwrap());

    let steps = steps(&texts[0]);
    let serves = steps.iter().position(|step| step.command.starts_with("brimctl run ")).unwrap();
    let (before, after) = steps.split_at(serves + 1);
    let script: Vec<_> = before.iter().map(|step| step.command.as_str()).collect();
    let script = format!("exec 2>&1\n{}", script.join("\n"));
    let mut server = Shell::start(&script, place.path());
    let mut lines = BufReader::new(server.0.0.stdout.take().unwrap()).lines();
    let kinds = ["[wsgi", "[tcp", "[udp"];
    let begins = |line: &&str| kinds.iter().any(|kind| line.starts_with(kind));
    let sections = texts[1].lines().filter(begins).count();
    let mut serving = 0;
    while serving < sections {
        let line = lines.next().unwrap_or_else(|| panic!("{name} does not serve")).unwrap();
        serving += usize::from(line.contains("| serving "));
    }
    if sections == 0 {
        // Daemons alone: what they print shows that they are there.
        lines.next().unwrap_or_else(|| panic!("{name} does not run")).unwrap();
    }
    for address in addresses {
        until("every port is open", || TcpStream::connect(address).is_ok());
    }
    // Its access lines must go somewhere.
    std::thread::spawn(move || lines.for_each(drop));

    let mut session = Command::new("sh");
    session.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir(place.path());
    let mut session = Running(session.spawn().unwrap());
    let mut input = session.0.stdin.take().unwrap();
    let mut output = BufReader::new(session.0.stdout.take().unwrap());
    for step in after {
        writeln!(input, "{}\necho; echo END", step.command).unwrap();
        let mut printed = String::new();
        while !printed.ends_with("\nEND\n") {
            assert_ne!(output.read_line(&mut printed).unwrap(), 0, "{}", step.command);
        }
        let printed = printed.strip_suffix("\nEND\n").unwrap();
        assert_eq!(printed, step.output, "{name}: {}", step.command);
    }
}

#[test]
fn a_static_site_with_tls() {
    works("static-tls", &["8443", "8901"]);
}

#[test]
fn a_proxy_in_front_of_two_upstreams() {
    works("proxy", &["8901", "9001", "9002"]);
}

#[test]
fn basic_authentication_around_a_directory() {
    works("basic-auth", &["8901"]);
}

#[test]
fn a_program_for_each_client() {
    works("inetd", &["8902"]);
}

#[test]
fn a_forwarder_that_tells_who_the_client_is() {
    works("tcp-forward", &["8901", "8902"]);
}

#[test]
fn a_worker_that_reports_figures() {
    works("worker", &[]);
}

#[test]
fn a_job_at_a_certain_time() {
    works("scheduled-job", &[]);
}

/// It has no README: the server prints the command to try it with.
#[test]
fn what_make_run_serves() {
    let place = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello/brim.conf");
    let mut texts = [fs::read_to_string(file).unwrap()];
    let addresses = free_ports(&mut texts, &["8901"]);
    fs::write(place.path().join("brim.conf"), &texts[0]).unwrap();
    let mut server = Shell::start("exec brimctl run -c brim.conf", place.path());
    let lines = BufReader::new(server.0.0.stdout.take().unwrap()).lines();
    let mut commands =
        lines.filter_map(|line| Some(line.unwrap().split_once("curl ")?.1.to_owned()));
    let command = format!("curl -s {}", commands.next().unwrap());
    assert!(command.contains(&addresses[0].to_string()), "{command}");
    until("its port is open", || TcpStream::connect(addresses[0]).is_ok());
    let said = said(Command::new("sh").args(["-c", &command]));
    assert_eq!((said.code, said.out.as_str()), (0, "hello"));
}

#[test]
fn commands_stand_behind_dollar_signs_and_their_output_below() {
    let step = |command: &str, output: &str| Step {
        command: command.to_owned(),
        output: output.to_owned(),
    };
    let steps = steps("text\n\n    $ one\n    $ two\n    a\n    b\ntext\n    $ three\n");
    assert_eq!(steps, [step("one", ""), step("two", "a\nb\n"), step("three", "")]);
}
