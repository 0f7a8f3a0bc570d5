//! The daemons of a group, each run once: without systemd there is nobody to restart them, to let them be
//! other users, or to mind their schedules.

use std::fs;
use std::io::{self, Write as _, stdout};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::thread;

use brim_config::{DaemonSection, DaemonsSection, SectionName, Tree, Work};
use brim_launch::program::{Program, Source};

use super::lines::Lines;
use super::listen::SocketFile;
use super::server::{Server, Task, start};
use crate::error::Error;

/// The longest report that is shown whole.
const REPORT_MAX: usize = 8 * 1024;

/// The daemons of a group, in an order in which each stands behind those that it is started after.
pub(super) fn of(tree: &Tree, group: &SectionName) -> Vec<DaemonSection> {
    let (group, _) = DaemonsSection::read(tree, group);
    let mut left: Vec<_> =
        group.daemons.iter().map(|name| DaemonSection::read(tree, name).0).collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits =
            |daemon: &DaemonSection| left.iter().any(|other| daemon.after.contains(&other.name));
        // The check has seen that they do not wait for each other.
        let next = left.iter().position(|daemon| !waits(daemon)).unwrap_or_default();
        ordered.push(left.remove(next));
    }
    ordered
}

/// Starts all of them; what they report is printed.
pub(super) fn start_all(
    program: &Program,
    source: &Source,
    daemons: &[DaemonSection],
    lines: &Lines,
) -> Result<(Vec<Server>, Option<SocketFile>), Error> {
    let mut servers = Vec::new();
    if daemons.is_empty() {
        return Ok((servers, None));
    }
    let section = program.name.section();
    let (stats, file) = reports(&section, &lines.prefix(&section)).map_err(Error::Watch)?;
    for daemon in daemons {
        let mut environment = daemon.environment.clone();
        environment.push(("BRIM_STATS".to_owned(), stats.display().to_string()));
        let (program, arguments) = match &daemon.work {
            Some(Work::Exec(words)) => {
                let arguments = words.iter().skip(1).map(Into::into).collect();
                (words.first().map(PathBuf::from).unwrap_or_default(), arguments)
            }
            _ => {
                let command = program.daemon_command(source, &daemon.name);
                let arguments = command.get_args().map(ToOwned::to_owned).collect();
                (program.path.clone(), arguments)
            }
        };
        let task = Task {
            label: daemon.name.clone(),
            program,
            arguments,
            environment,
            directory: daemon.directory.clone(),
            sockets: None,
            once: true,
        };
        servers.push(start(task, Vec::new(), lines)?);
    }
    Ok((servers, Some(file)))
}

/// Prints what is reported to a socket of our own.
fn reports(section: &str, prefix: &str) -> io::Result<(PathBuf, SocketFile)> {
    let name = format!("brim-{}-{section}.stats", std::process::id());
    let path = std::env::temp_dir().join(name.replace(['#', ':'], "-"));
    let _ = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path)?;
    let file = SocketFile(path.clone());
    let prefix = prefix.to_owned();
    thread::spawn(move || {
        let mut buffer = vec![0; REPORT_MAX];
        while let Ok(length) = socket.recv(&mut buffer) {
            let report = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            let lines: String =
                report.lines().map(|line| format!("{prefix}reported {line}\n")).collect();
            let _ = stdout().write_all(lines.as_bytes());
        }
    });
    Ok((path, file))
}
