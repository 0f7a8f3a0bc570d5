//! What of the daemons of a group only this machine can tell: whether their programs are there, and what
//! systemd thinks of their schedules.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use brim_config::{
    Cause, DaemonSection, DaemonsSection, Problem, Reader, SectionName, Severity, Tree, Work,
};

use crate::program::Source;

/// What is wrong with the daemons of a group on this machine, or in the image below a root.
pub fn problems(tree: &Tree, group: &SectionName, source: &Source) -> Vec<Problem> {
    let root = match source {
        Source::Root(root) => root.as_path(),
        Source::File(_) => Path::new("/"),
    };
    let (group, _) = DaemonsSection::read(tree, group);
    let daemons = group.daemons.iter().map(|name| DaemonSection::read(tree, name).0);
    daemons.flat_map(|daemon| of_daemon(tree, &daemon, root)).collect()
}

fn of_daemon(tree: &Tree, daemon: &DaemonSection, root: &Path) -> Vec<Problem> {
    let problem = |key: &str, why: String| Problem {
        origin: Reader::new(tree, &daemon.name).origin(key),
        section: Some(daemon.name.clone()),
        key: Some(key.to_owned()),
        severity: Severity::Error,
        cause: Cause::Refused(why),
    };
    let mut problems = Vec::new();
    if let Some(Work::Exec(words)) = &daemon.work
        && let Some(path) = words.first()
        && let Err(why) = executable(&root.join(path.trim_start_matches('/')))
    {
        problems.push(problem("exec", format!("{path} {why}")));
    }
    let schedule = daemon.schedule.iter().filter(|expression| !is_calendar(expression));
    problems.extend(schedule.map(|expression| {
        let why = format!(
            "{expression:?} is no calendar expression of systemd, such as Mon..Fri 12:30 or hourly; \
             see systemd.time(7)"
        );
        problem("schedule", why)
    }));
    problems
}

/// Whether somebody may execute a file, or why not.
fn executable(path: &Path) -> Result<(), String> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be looked at: {error}"),
    })?;
    match metadata.is_file() {
        false => Err("is no file".to_owned()),
        true if metadata.permissions().mode() & 0o111 == 0 => Err("is not executable".to_owned()),
        true => Ok(()),
    }
}

/// Whether systemd can parse it; without systemd, nobody knows.
fn is_calendar(expression: &str) -> bool {
    let mut command = Command::new("systemd-analyze");
    command.args(["calendar", "--", expression]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map_or(true, |status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_a_file_that_somebody_may_execute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let why = |path: &Path| executable(path).unwrap_err();
        assert_eq!(why(&path), "does not exist");
        assert_eq!(why(folder.path()), "is no file");
        fs::write(&path, "").unwrap();
        assert_eq!(why(&path), "is not executable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o744)).unwrap();
        assert_eq!(executable(&path), Ok(()));
    }

    #[test]
    fn systemd_knows_its_calendar() {
        let there = Command::new("systemd-analyze").arg("--version").output().is_ok();
        for good in ["hourly", "*-*-* 03:00:00", "Mon..Fri 12:30 Europe/Berlin"] {
            assert!(is_calendar(good), "{good}");
        }
        for bad in ["soon", "25:00", "-x"] {
            assert_eq!(is_calendar(bad), !there, "{bad}");
        }
    }
}
