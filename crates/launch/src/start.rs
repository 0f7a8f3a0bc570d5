//! From an instance to the program that serves it, in the same process.
//!
//! The sockets that systemd handed over are left alone: `exec` keeps them, and `LISTEN_PID` stays
//! true. (The crates that adopt sockets would set close-on-exec.)

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;

use brim_config::{Cause, DaemonsSection, Kind, NameRule, Problem, SectionName, Tree};
use sd_notify::NotifyState;

use crate::command_line::Target;
use crate::error::{Error, NoSection};
use crate::exit::Exit;
use crate::journal;
use crate::program::{NotExecutable, Programs};

/// Becomes the program of the section; returns only when that failed.
pub(crate) fn start(target: &Target) -> Exit {
    let Err(error) = become_program(target);
    if let Error::NoSection { problems, .. } = &error {
        for problem in problems {
            journal::finding(problem.severity, &problem.to_string());
        }
    }
    journal::error(&error.to_string());
    // For `systemctl status`. Without systemd nobody listens.
    let _ = sd_notify::notify(&[NotifyState::Status(&error.to_string())]);
    error.exit()
}

/// Becomes the program of a daemon's group, to run the daemon; returns only when that failed.
pub(crate) fn start_daemon(target: &Target) -> Exit {
    let Err(error) = become_daemon(target);
    journal::error(&error.to_string());
    let _ = sd_notify::notify(&[NotifyState::Status(&error.to_string())]);
    error.exit()
}

fn become_daemon(target: &Target) -> Result<Infallible, Error> {
    let (tree, problems) = target.source.load();
    let daemon = &target.instance;
    let Some(group) = DaemonsSection::of_daemon(&tree, daemon) else {
        for problem in problems {
            journal::finding(problem.severity, &problem.to_string());
        }
        let groups = tree.instances().filter(|name| name.kind == Kind::Daemons);
        let groups = groups.map(|name| DaemonsSection::read(&tree, &name).0).collect();
        return Err(Error::NoDaemon { daemon: daemon.clone(), groups });
    };
    let programs = Programs::beside_this_one().map_err(Error::Nowhere)?;
    let name = group.server.name;
    let program = programs.of(&tree, &name);
    let source = program.daemon_command(&target.source, daemon).exec();
    Err(NotExecutable { program, source }.into())
}

fn become_program(target: &Target) -> Result<Infallible, Error> {
    let (tree, problems) = target.source.load();
    let name = section_name(&target.instance, &tree, &problems)?;
    // A program that has sockets keeps them, answers 503, and says itself that its section is missing.
    if tree.section(&name.section()).is_none() && !sockets_inherited() {
        return Err(Error::NoSection { missing: NoSection::new(name.section(), &tree), problems });
    }
    let programs = Programs::beside_this_one().map_err(Error::Nowhere)?;
    let program = programs.of(&tree, &name);
    let source = program.command(&target.source).exec();
    Err(NotExecutable { program, source }.into())
}

/// The section of an instance, as systemd passes it by `%i`.
pub(crate) fn section_name(
    instance: &str,
    tree: &Tree,
    problems: &[Problem],
) -> Result<SectionName, Error> {
    if let Some(name) = unescaped(instance) {
        return Err(Error::Escaped { name });
    }
    SectionName::parse(instance).map_err(|cause| match cause {
        Cause::BadSectionName { reason: NameRule::Kind, .. } => Error::NoSection {
            missing: NoSection::new(instance, tree),
            problems: problems.to_vec(),
        },
        cause => Error::BadName(cause),
    })
}

/// The section that was meant by an instance with `\x23` (`#`) or the like, which is what systemd
/// makes of characters that unit names do not have (systemd.unit(5), "String Escaping").
fn unescaped(instance: &str) -> Option<SectionName> {
    let mut parts = instance.split("\\x");
    let mut text = parts.next()?.to_owned();
    let mut escaped = false;
    for part in parts {
        let byte = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        text.push(char::from(byte));
        text.push_str(part.get(2..)?);
        escaped = true;
    }
    SectionName::parse(&text).ok().filter(|_| escaped)
}

/// Whether systemd handed over sockets.
fn sockets_inherited() -> bool {
    let count = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<u32>().ok());
    count.unwrap_or(0) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_makes_of_a_hash_is_understood() {
        let name = unescaped("wsgi\\x23my\\x2dapp").unwrap();
        assert_eq!(
            (name.section(), name.unit()),
            ("wsgi#my-app".into(), "brim@wsgi:my-app.service".into())
        );
        for not_escaped in ["wsgi", "wsgi:x", "wsgi\\x", "wsgi\\xzzy", "\\x23", "wsgi\\x23\u{e4}"] {
            assert_eq!(unescaped(not_escaped), None, "{not_escaped}");
        }
    }
}
