use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brim_config::{AbsolutePath, Count, Reader, words};

/// What systemd says to us, and so not to the programs.
const OURS: [&str; 15] = [
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "INVOCATION_ID",
    "SYSTEMD_EXEC_PID",
    "MAINPID",
    "MANAGERPID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_FDS_FIRST_FD",
    "LOGS_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "GLIBC_TUNABLES",
];

/// What the section says.
pub(crate) struct Conf {
    /// `exec`: absolute path of the program, and its arguments, separated by white space; quotes (" or ') keep
    /// it. Required.
    exec: Vec<String>,
    /// `directory`: absolute path of the directory in which it starts; default `/`.
    directory: PathBuf,
    /// `environment`: list of `NAME=value`, in quotes where there is white space, beside `REMOTE_ADDR`, `REMOTE_PORT` and what the server itself
    /// was started with; default empty.
    environment: Vec<Variable>,
    /// `max_programs`: programs that run at the same time, 1 to 100000, default 64. Beyond it, clients are
    /// sent away.
    max_programs: usize,
    running: Arc<AtomicUsize>,
}

struct Variable {
    name: String,
    value: String,
}

impl Conf {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let exec = r.require::<String>("exec").unwrap_or_default();
        let exec = words(&exec).unwrap_or_else(|error| {
            r.refuse("exec", error);
            Vec::new()
        });
        if let Some(program) = exec.first()
            && let Err(why) = executable(Path::new(program))
        {
            r.refuse("exec", format!("{program}: {why}"));
        }
        let directory = r.get("directory").map_or_else(|| "/".into(), |AbsolutePath(path)| path);
        if !directory.is_dir() {
            r.refuse("directory", format!("{} is not a directory", directory.display()));
        }
        let Count(max_programs) = r.get_or("max_programs", Count::<1, 100_000>(64));
        Self {
            exec,
            directory,
            environment: environment(r),
            max_programs: usize::try_from(max_programs).unwrap_or(usize::MAX),
            running: Arc::default(),
        }
    }

    pub(super) fn program(&self) -> &Path {
        Path::new(self.exec.first().map_or("", String::as_str))
    }

    /// The program for a client, with one socket as its input and output.
    pub(super) fn command(
        &self,
        client: Option<SocketAddr>,
        socket: UnixStream,
    ) -> std::io::Result<Command> {
        let socket = OwnedFd::from(socket);
        let mut command = Command::new(self.program());
        command.args(self.exec.iter().skip(1)).current_dir(&self.directory);
        for name in OURS {
            command.env_remove(name);
        }
        command.env_remove("REMOTE_ADDR").env_remove("REMOTE_PORT");
        if let Some(client) = client {
            command.env("REMOTE_ADDR", client.ip().to_canonical().to_string());
            command.env("REMOTE_PORT", client.port().to_string());
        }
        command.envs(self.environment.iter().map(|variable| (&variable.name, &variable.value)));
        command.stdin(Stdio::from(socket.try_clone()?)).stdout(Stdio::from(socket));
        // What it complains of goes where our own complaints go. A group of its own, to be ended whole.
        command.stderr(Stdio::inherit()).process_group(0);
        Ok(command)
    }
}

fn environment(r: &mut Reader<'_>) -> Vec<Variable> {
    let text = r.get::<String>("environment").unwrap_or_default();
    let variables = words(&text).map_err(|error| error.to_string()).and_then(|words| {
        let variable = |word: &String| {
            Variable::parse(word).ok_or_else(|| format!("\"{word}\" is not NAME=value"))
        };
        words.iter().map(variable).collect()
    });
    variables.unwrap_or_else(|why| {
        r.refuse("environment", why);
        Vec::new()
    })
}

fn executable(program: &Path) -> Result<(), String> {
    if !program.is_absolute() {
        return Err("is not an absolute path (such as /usr/bin/env)".to_owned());
    }
    let metadata = std::fs::metadata(program).map_err(|error| error.to_string())?;
    match metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        true => Ok(()),
        false => Err("is not an executable file".to_owned()),
    }
}

impl Variable {
    fn parse(text: &str) -> Option<Self> {
        let plain = |name: &str| {
            let mut bytes = name.bytes();
            bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let (name, value) = text.split_once('=')?;
        let fits = plain(name) && !value.contains('\0');
        fits.then(|| Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// One program's place among `max_programs`.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    /// One, if there is room.
    pub(super) fn take(conf: &Conf) -> Option<Self> {
        let more = |running| (running < conf.max_programs).then_some(running + 1);
        let taken = conf.running.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.is_ok().then(|| Self(conf.running.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
