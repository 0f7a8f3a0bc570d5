//! Starts one server: a copy of ourselves, which then becomes the server.
//!
//! The step between knows the process that the server will be, and may ask the kernel to end it with
//! us. (Between fork and exec nothing could be done without `unsafe`.)

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use brim_launch::Exit;
use brim_launch::program::{Program, Source};
use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::lines::Lines;
use super::listen::{Listening, SocketFile};
use crate::error::Error;

/// The first descriptor that is handed on (sd_listen_fds(3)).
const FIRST: i32 = 3;

/// What systemd says to its own services, and so not to ours, if we run in one.
const FOREIGN: [&str; 10] = [
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "INVOCATION_ID",
    "MAINPID",
    "LISTEN_PID",
    "LISTEN_FDS_FIRST_FD",
    "LOGS_DIRECTORY",
    "RUNTIME_DIRECTORY",
];

/// What is to be run.
#[derive(Debug)]
pub(super) struct Task {
    /// What stands before each line of it.
    pub(super) label: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: Option<PathBuf>,
    /// What it listens on; none for what is no server.
    pub(super) sockets: Option<Vec<OwnedFd>>,
    /// Its end is not everybody's.
    pub(super) once: bool,
}

/// A server that runs, or a daemon.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) label: String,
    pub(super) child: Child,
    pub(super) once: bool,
    _files: Vec<SocketFile>,
}

/// Starts the server of a section with its sockets.
pub(super) fn serve(
    program: &Program,
    source: &Source,
    listening: Vec<Listening>,
    lines: &Lines,
) -> Result<Server, Error> {
    let (mut sockets, mut files) = (Vec::new(), Vec::new());
    for listener in listening {
        sockets.push(listener.socket);
        files.extend(listener.file);
    }
    let task = Task {
        label: program.name.section(),
        program: program.path.clone(),
        arguments: program.command(source).get_args().map(ToOwned::to_owned).collect(),
        environment: Vec::new(),
        directory: None,
        sockets: Some(sockets),
        once: false,
    };
    start(task, files, lines)
}

/// Starts something. To be called by the main thread: the kernel ends it with the thread that started it.
pub(super) fn start(task: Task, files: Vec<SocketFile>, lines: &Lines) -> Result<Server, Error> {
    let failed = |source| Error::Exec { program: task.program.clone(), source };
    let mut command = Command::new("/proc/self/exe");
    command.arg("exec-server").arg(std::process::id().to_string()).arg("--");
    command.arg(&task.program).args(&task.arguments);
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command.envs(task.environment);
    if let Some(directory) = &task.directory {
        command.current_dir(directory);
    }
    if let Some(sockets) = task.sockets {
        command.env("LISTEN_FDS", sockets.len().to_string());
        command.env("LISTEN_FDNAMES", vec!["listen"; sockets.len()].join(":"));
        let sockets = sockets.into_iter().zip(FIRST..);
        let sockets = sockets.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
        let mapped = command.fd_mappings(sockets.collect());
        mapped.map_err(|collision| failed(io::Error::other(collision)))?;
    }
    // A group of its own: Ctrl-C is for us, and we tell the servers once.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(stdout) = child.stdout.take() {
        lines.copy_stdout(&task.label, stdout);
    }
    if let Some(stderr) = child.stderr.take() {
        lines.copy_stderr(&task.label, stderr);
    }
    Ok(Server { label: task.label, child, once: task.once, _files: files })
}

/// The step between: the process of the server, before its program.
pub(crate) fn exec(parent: i32, program: &[OsString]) -> Result<Exit, Error> {
    match become_server(parent, program) {
        Ok(None) => Ok(Exit::Success),
        Ok(Some(never)) => match never {},
        Err(error) => Err(error),
    }
}

/// Returns without an error when `brimctl run` has ended meanwhile.
fn become_server(parent: i32, program: &[OsString]) -> Result<Option<Infallible>, Error> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| Error::Watch(error.into()))?;
    if getppid().map(Pid::as_raw_pid) != Some(parent) {
        return Ok(None);
    }
    let Some((program, arguments)) = program.split_first() else { return Ok(None) };
    let pid = getpid().as_raw_pid().to_string();
    let source = Command::new(program).args(arguments).env("LISTEN_PID", pid).exec();
    Err(Error::Exec { program: program.into(), source })
}
