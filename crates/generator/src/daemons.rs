//! Groups of daemons: what a group starts, and what each of its daemons is.
//!
//! A group *wants* its daemons, and each of them is *part of* the group: a stop and a restart of the group reach
//! all, an end of one nobody. But systemd 252 makes a restart of a group that has crashed a restart like any other,
//! so that all daemons would be restarted with it. Hence a group is not restarted, it is started again by
//! `brim-again@.service`, alone.

use std::path::Path;
use std::time::Duration;

use brim_config::{
    Account, DaemonSection, DaemonsSection, Kind, Ready, Restart, ServerSection, Tree, Work,
    has_errors,
};

use crate::plan::{Content, HEADER, UnitFile, drop_in, line, literal, source_path};
use crate::sandbox;

/// The templates that links lead to.
const TEMPLATES: &str = "/usr/lib/systemd/system";

/// What the template says of restarts.
const TEMPLATE_RESTART: (Restart, Duration, Duration) =
    (Restart::Always, Duration::from_secs(1), Duration::from_secs(300));

/// What a group's own service has beside the rest.
pub(crate) fn group(section: &ServerSection, text: &mut String) {
    line(text, "OnFailure", &format!("brim-again@{}.service", section.name.instance()));
    // The socket for reports is made there.
    text.push_str("\n[Service]\nRestart=no\nReadWritePaths=-/run/brim/stats\n");
}

/// The units of all daemons.
pub(crate) fn plan(tree: &Tree) -> Vec<UnitFile> {
    let groups = tree.instances().filter(|name| name.kind == Kind::Daemons);
    let groups = groups.map(|name| DaemonsSection::read(tree, &name).0);
    groups.flat_map(|group| members(tree, &group)).collect()
}

fn members(tree: &Tree, group: &DaemonsSection) -> Vec<UnitFile> {
    let mut files = Vec::new();
    for name in &group.daemons {
        let (daemon, problems) = DaemonSection::read(tree, name);
        files.push(wanted(group, &daemon));
        // Of one with errors there is nothing to be run: the template's program says what is wrong.
        files.push(service(group, &daemon, !has_errors(&problems)));
        if !daemon.schedule.is_empty() {
            files.push(timer(group, &daemon));
        }
    }
    files
}

/// The link by which the group's start is the daemon's, too.
fn wanted(group: &DaemonsSection, daemon: &DaemonSection) -> UnitFile {
    let unit = daemon.wanted_unit();
    let template = if daemon.schedule.is_empty() { "service" } else { "timer" };
    UnitFile {
        path: Path::new(&format!("{}.wants", group.server.name.unit())).join(unit),
        content: Content::Link(Path::new(TEMPLATES).join(format!("brim-daemon@.{template}"))),
    }
}

/// The head of a drop-in for a unit that goes with the group.
fn part_of(group: &DaemonsSection, daemon: &DaemonSection) -> String {
    let mut text = format!("{HEADER}[Unit]\n");
    source_path(&mut text, daemon.origin.as_ref().map(|origin| &*origin.file));
    let unit = group.server.name.unit();
    line(&mut text, "PartOf", &unit);
    line(&mut text, "After", &unit);
    text
}

fn timer(group: &DaemonsSection, daemon: &DaemonSection) -> UnitFile {
    let mut text = part_of(group, daemon);
    text.push_str("\n[Timer]\n");
    for expression in &daemon.schedule {
        line(&mut text, "OnCalendar", &literal(expression));
    }
    drop_in(&daemon.wanted_unit(), text)
}

fn service(group: &DaemonsSection, daemon: &DaemonSection, sound: bool) -> UnitFile {
    let mut text = part_of(group, daemon);
    for other in &daemon.after {
        line(&mut text, "After", &brim_config::daemon_unit(other));
    }
    if sound {
        text.push_str("\n[Service]\n");
        let socket = format!("BRIM_STATS={}", group.stats_socket().display());
        line(&mut text, "Environment", &quoted(&socket));
        restarts(&mut text, daemon);
        if let Some(Work::Exec(words)) = &daemon.work {
            exec(&mut text, daemon, words);
        }
        surroundings(&mut text, daemon);
        text.push_str(sandbox::directives(daemon.sandbox));
    }
    drop_in(&daemon.unit(), text)
}

fn restarts(text: &mut String, daemon: &DaemonSection) {
    let (restart, first, most) = TEMPLATE_RESTART;
    if daemon.restart != restart {
        let word = match daemon.restart {
            Restart::Always => "always",
            Restart::OnFailure => "on-failure",
            Restart::No => "no",
        };
        line(text, "Restart", word);
    }
    if daemon.restart_sec != first {
        line(text, "RestartSec", &millis(daemon.restart_sec));
    }
    if daemon.restart_max != most {
        line(text, "ExecStartPre", "");
        let max = millis(daemon.restart_max);
        let command = format!("+/usr/libexec/brim/brim-launch --backoff {max} %i");
        line(text, "ExecStartPre", &command);
    }
}

/// A program that is not ours, instead of what the template starts.
fn exec(text: &mut String, daemon: &DaemonSection, words: &[String]) {
    let kind = match daemon.ready {
        _ if !daemon.schedule.is_empty() => "oneshot",
        Ready::Exec | Ready::Listening => "exec",
        Ready::Notify => "notify",
    };
    line(text, "Type", kind);
    if kind == "oneshot" {
        // Such a one is started for as long as it runs.
        line(text, "TimeoutStartSec", "infinity");
    }
    if daemon.ready == Ready::Notify {
        // systemd-notify(1) of a script is no main process.
        line(text, "NotifyAccess", "all");
    }
    line(text, "WatchdogSec", "0");
    line(text, "KillMode", "control-group");
    line(text, "RestartPreventExitStatus", "");
    line(text, "SyslogIdentifier", &daemon.name);
    line(text, "ExecStart", "");
    let words = words.iter().enumerate().map(|(index, word)| match index {
        0 => quoted(word),
        // Variables are for the program to look at.
        _ => quoted(&word.replace('$', "$$")),
    });
    line(text, "ExecStart", &words.collect::<Vec<_>>().join(" "));
    if daemon.ready == Ready::Listening {
        line(text, "ExecStartPost", "+/usr/libexec/brim/brim-launch --wait-listening %i");
    }
}

fn surroundings(text: &mut String, daemon: &DaemonSection) {
    if let Some(Account { user, group }) = &daemon.user {
        line(text, "User", user);
        // Without one, the user's own.
        line(text, "Group", group.as_deref().unwrap_or_default());
    }
    if let Some(directory) = &daemon.directory {
        line(text, "WorkingDirectory", &literal(&directory.to_string_lossy()));
    }
    for (name, value) in &daemon.environment {
        line(text, "Environment", &quoted(&format!("{name}={value}")));
    }
}

fn millis(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// A word as unit files quote it (systemd.syntax(7)), whatever is in it.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    literal(&quoted)
}
