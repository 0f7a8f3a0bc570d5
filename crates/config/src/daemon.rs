//! The section of one background daemon, which a group lists.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::daemons::{DaemonName, DaemonsSection};
use crate::problem::{Cause, Origin, Problem};
use crate::quantity::{AbsolutePath, Timeout};
use crate::reader::Reader;
use crate::tree::Tree;
use crate::words::{BadWords, words};

/// The most stats that one daemon declares.
const STATS_MAX: usize = 256;
/// The most words of `exec` and `environment`, and lines of `schedule`.
const WORDS_MAX: usize = 1000;

/// The section of a daemon. Its keys are not looked up in `[brim]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSection {
    /// The section's name, and the daemon's.
    pub name: String,
    /// What it runs; none where that is bad.
    pub work: Option<Work>,
    /// `user`: `NAME` or `NAME:GROUP` that it runs as, default `brim`.
    pub user: Option<Account>,
    /// `directory`: absolute path of the folder it is started in, default `/`.
    pub directory: Option<PathBuf>,
    /// `environment`: list of `NAME=VALUE`, default empty. What is in quotes may hold blanks.
    pub environment: Vec<(String, String)>,
    /// `sandbox`: `strict`, `normal` or `off`, default `normal` with `exec`, else `strict`.
    pub sandbox: Sandbox,
    /// `restart`: `always`, `on-failure` or `no`, default `always`, with `schedule` `no`.
    pub restart: Restart,
    /// `restart_sec`: time before the first restart, doubled with each end that follows soon; default 1s.
    pub restart_sec: Duration,
    /// `restart_max`: time before a restart at most, default 5min.
    pub restart_max: Duration,
    /// `after`: list of daemons that are started before it, default empty.
    pub after: Vec<String>,
    /// `schedule`: calendar expressions of systemd, one per line, at which it is started; default unset: it runs
    /// all the time.
    pub schedule: Vec<String>,
    /// `ready`: `exec`, `notify` or `listening`, default `exec`. Only with `exec`.
    pub ready: Ready,
    /// `stats`: list of `NAME` or `NAME:TYPE`, TYPE one of `sum`, `min`, `max`, default `sum`; what it may
    /// report, default empty.
    pub stats: Vec<(String, StatType)>,
    /// Where the section begins.
    pub origin: Option<Origin>,
}

/// What a daemon runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// `call`: name of a daemon that is built into the group's program.
    Call(String),
    /// `exec`: absolute path of a program, and its arguments. What is in quotes may hold blanks.
    Exec(Vec<String>),
}

/// A user, and a group where it is not the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name or number.
    pub user: String,
    /// The group's.
    pub group: Option<String>,
}

/// How much of the system is kept from a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// All that a server does not need.
    Strict,
    /// What programs of all sorts can do without.
    Normal,
    /// Nothing but what its user may not do.
    Off,
}

/// When systemd starts a daemon again that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Whatever came of it.
    Always,
    /// When it failed.
    OnFailure,
    /// Never.
    No,
}

/// When a daemon counts as started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ready {
    /// When its program runs.
    Exec,
    /// When it says so (sd_notify(3)).
    Notify,
    /// When a process of it listens.
    Listening,
}

/// What several values of a stat become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatType {
    /// The last one, and what was added since.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl DaemonSection {
    /// Reads a section. There is always a value, with defaults where something is bad. The keys that a
    /// daemon with `call` has of its own are not known here, and nothing is said of them.
    pub fn read(tree: &Tree, name: &str) -> (Self, Vec<Problem>) {
        let mut reader = Reader::new(tree, name);
        let read = Self::take(tree, &mut reader);
        let all_known = matches!(read.work, Some(Work::Exec(_)));
        let known = |problem: &Problem| !matches!(problem.cause, Cause::UnknownKey { .. });
        let mut problems = reader.finish();
        problems.retain(|problem| all_known || known(problem));
        (read, problems)
    }

    /// Takes every key that all daemons have from a reader of the section.
    pub fn take(tree: &Tree, r: &mut Reader<'_>) -> Self {
        let work = work(r);
        let called = matches!(work, Some(Work::Call(_)));
        let mut schedule: Vec<_> = r.lines("schedule").into_iter().map(str::to_owned).collect();
        let restart_sec = r.get_or("restart_sec", Timeout(Duration::from_secs(1))).0;
        let restart_max = r.get_or("restart_max", Timeout(Duration::from_secs(300))).0;
        let ready = r.get("ready");
        if ready.is_some() && called {
            r.refuse("ready", "goes with `exec`; what is called says itself when it is ready");
        } else if ready.is_some() && !schedule.is_empty() {
            r.refuse("ready", "does not go together with `schedule`");
        }
        if schedule.len() > WORDS_MAX {
            r.refuse("schedule", format!("at most {WORDS_MAX} lines are accepted"));
        }
        if schedule.iter().any(|line| !fits_a_line(line)) {
            r.refuse("schedule", "a calendar expression does not end with a backslash");
            schedule.retain(|line| fits_a_line(line));
        }
        let default = if schedule.is_empty() { Restart::Always } else { Restart::No };
        let restart = r.get_or("restart", default);
        if restart == Restart::Always && !schedule.is_empty() {
            r.refuse(
                "restart",
                "always does not go together with `schedule`, on-failure and no do",
            );
        }
        Self {
            name: r.name().to_owned(),
            work,
            user: r.get("user"),
            directory: directory(r),
            environment: environment(r),
            sandbox: r.get_or("sandbox", if called { Sandbox::Strict } else { Sandbox::Normal }),
            restart,
            restart_sec,
            restart_max: restart_max.max(restart_sec),
            after: after(tree, r),
            schedule,
            ready: ready.unwrap_or(Ready::Exec),
            stats: stats(r),
            origin: tree.section(r.name()).map(|section| section.origin.clone()),
        }
    }

    /// Every key that all daemons have.
    pub fn keys() -> Vec<&'static str> {
        let tree = Tree::default();
        let mut reader = Reader::new(&tree, "");
        Self::take(&tree, &mut reader);
        reader.known().to_vec()
    }

    /// The service unit: `brim-daemon@NAME.service`.
    pub fn unit(&self) -> String {
        daemon_unit(&self.name)
    }

    /// What the group starts: the service, or the timer that starts it.
    pub fn wanted_unit(&self) -> String {
        match self.schedule.is_empty() {
            true => self.unit(),
            false => format!("brim-daemon@{}.timer", self.name),
        }
    }
}

/// The service unit of a daemon.
pub fn daemon_unit(daemon: &str) -> String {
    format!("brim-daemon@{daemon}.service")
}

fn work(r: &mut Reader<'_>) -> Option<Work> {
    let call: Option<String> = r.get("call");
    let exec: Option<String> = r.get("exec");
    match (call, exec) {
        (Some(call), None) => Some(Work::Call(call)),
        (None, Some(exec)) => split(r, "exec", &exec).and_then(|words| program(r, words)),
        (Some(_), Some(_)) => {
            r.refuse("exec", "does not go together with `call`");
            None
        }
        (None, None) => {
            r.refuse(
                "exec",
                "must be set, or `call`: a daemon runs a program, or what is built in",
            );
            None
        }
    }
}

/// Whether a unit file can have it as the end of a line: a backslash there would go on in the next.
fn fits_a_line(text: &str) -> bool {
    !text.contains(char::is_control) && !text.ends_with('\\')
}

fn directory(r: &mut Reader<'_>) -> Option<PathBuf> {
    let AbsolutePath(path) = r.get("directory")?;
    if path.to_str().is_some_and(fits_a_line) {
        return Some(path);
    }
    r.refuse("directory", "is one line, without a backslash at its end");
    None
}

fn program(r: &mut Reader<'_>, words: Vec<String>) -> Option<Work> {
    if words.first().is_some_and(|path| path.starts_with('/') && !path.ends_with('/')) {
        return Some(Work::Exec(words));
    }
    r.refuse("exec", "begins with the absolute path of a program, such as /usr/local/bin/x");
    None
}

/// The words of a value; of one that cannot be split a problem is noted.
fn split(r: &mut Reader<'_>, key: &str, text: &str) -> Option<Vec<String>> {
    match words(text) {
        Ok(words) if words.len() <= WORDS_MAX => return Some(words),
        Ok(_) => r.refuse(key, format!("at most {WORDS_MAX} words are accepted")),
        Err(BadWords) => r.refuse(key, BadWords),
    }
    None
}

fn environment(r: &mut Reader<'_>) -> Vec<(String, String)> {
    let text: String = r.get("environment").unwrap_or_default();
    let mut pairs = Vec::new();
    for word in split(r, "environment", &text).unwrap_or_default() {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match word.split_once('=') {
            Some(("BRIM_STATS", _)) => {
                r.refuse("environment", "BRIM_STATS is set by Brim");
            }
            Some((name, value))
                if !name.is_empty()
                    && name.chars().all(plain)
                    && !name.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                pairs.push((name.to_owned(), value.to_owned()));
            }
            _ => r.refuse(
                "environment",
                format!("{word:?} is not NAME=VALUE; what holds blanks stands in quotes"),
            ),
        }
    }
    pairs
}

/// The daemons to be started before, which must be such, and not wait for this one themselves.
fn after(tree: &Tree, r: &mut Reader<'_>) -> Vec<String> {
    let own = r.name().to_owned();
    let mut names = Vec::new();
    for DaemonName(name) in r.list("after").unwrap_or_default() {
        if DaemonsSection::of_daemon(tree, &name).is_none() {
            r.refuse(
                "after",
                format!("there is no daemon {name}; `daemons` of a group names them"),
            );
        } else if waits_for(tree, &name, &own) {
            r.refuse("after", format!("{name} is to be started after {own} itself"));
        } else {
            names.push(name);
        }
    }
    names
}

/// Whether a daemon is the other one, or is started after it.
fn waits_for(tree: &Tree, daemon: &str, other: &str) -> bool {
    let (mut seen, mut next) = (Vec::new(), vec![daemon]);
    while let Some(name) = next.pop() {
        if name == other {
            return true;
        }
        if !seen.contains(&name) {
            seen.push(name);
            let entry = tree.section(name).and_then(|section| section.entry("after"));
            next.extend(entry.into_iter().flat_map(|entry| entry.value.split_whitespace()));
        }
    }
    false
}

fn stats(r: &mut Reader<'_>) -> Vec<(String, StatType)> {
    let mut stats: Vec<(String, StatType)> = Vec::new();
    for Declared(name, stat_type) in r.list("stats").unwrap_or_default() {
        if stats.len() == STATS_MAX {
            r.refuse("stats", format!("at most {STATS_MAX} are accepted"));
            break;
        }
        if stats.iter().any(|(known, _)| *known == name) {
            r.refuse("stats", format!("{name} is listed twice"));
        } else {
            stats.push((name, stat_type));
        }
    }
    stats
}

/// The stats that every daemon has.
pub const DAEMON_STATS: [&str; 3] = ["start_time", "starts", "last_exit"];

/// One element of `stats`.
struct Declared(String, StatType);

impl<'de> Deserialize<'de> for Declared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (name, stat_type) = match text.split_once(':') {
            Some((name, stat_type)) => (name, crate::value::parse(stat_type)),
            None => (text.as_str(), Ok(StatType::Sum)),
        };
        match stat_type {
            Ok(stat_type) if is_stat_name(name) && !DAEMON_STATS.contains(&name) => {
                Ok(Self(name.to_owned(), stat_type))
            }
            _ => {
                let expected = "NAME or NAME:TYPE (NAME of at most 64 letters, digits and _, and not \
                                start_time, starts or last_exit; TYPE sum, min or max)";
                Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
            }
        }
    }
}

/// Whether a daemon may have a stat of that name.
pub fn is_stat_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text.as_str(), None),
        };
        if [Some(user), group].into_iter().flatten().all(is_account) {
            return Ok(Self { user: user.to_owned(), group: group.map(str::to_owned) });
        }
        let expected = "a user, or USER:GROUP";
        Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

/// As systemd wants names of users.
fn is_account(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=31).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['-', '.'])
}
