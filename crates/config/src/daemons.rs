//! `[daemons]` and `[daemons#NAME]`: groups of background daemons.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::daemon::DaemonSection;
use crate::name::{Kind, NAME_MAX, SectionName, check_name, escape};
use crate::problem::Problem;
use crate::quantity::AbsolutePath;
use crate::reader::Reader;
use crate::server::{LogLevel, ServerSection, Start, TrustedProxies, Workers, keys_of, read_with};
use crate::tree::{DEFAULTS, Tree};

/// The most daemons of one group: each has a name on the bus, of which one connection may own 512.
const DAEMONS_MAX: usize = 256;

/// A group has nothing to finish when it ends.
const DRAIN: Duration = Duration::from_secs(5);

/// A section of the kind `daemons`: a group. Keys are looked up in the section, then in `[brim]`, unless
/// said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonsSection {
    /// What this kind shares with the others. It listens nowhere.
    pub server: ServerSection,
    /// `daemons`: list of sections, a daemon each, default empty. Not from `[brim]`.
    /// Names that are bad are missing here.
    pub daemons: Vec<String>,
}

impl DaemonsSection {
    /// Reads a section, and with it the defaults in `[brim]`. There is always a value, with defaults
    /// where something is bad. What is wrong with the sections of the daemons is not told here.
    pub fn read(tree: &Tree, name: &SectionName) -> (Self, Vec<Problem>) {
        read_with(tree, name, |r| Self::take(tree, name, r))
    }

    /// Every key of such a section.
    pub fn keys() -> Vec<&'static str> {
        keys_of(Kind::Daemons, Self::take)
    }

    /// The group that a daemon belongs to.
    pub fn of_daemon(tree: &Tree, daemon: &str) -> Option<Self> {
        let groups = tree.instances().filter(|name| name.kind == Kind::Daemons);
        groups.map(|name| Self::read(tree, &name).0).find(|group| group.has(daemon))
    }

    /// The socket that takes what the daemons report. Its folder belongs to Brim's user.
    pub fn stats_socket(&self) -> PathBuf {
        Path::new("/run/brim/stats").join(self.server.name.instance())
    }

    /// Whether the group has a daemon of that name.
    pub fn has(&self, daemon: &str) -> bool {
        self.daemons.iter().any(|name| name == daemon)
    }

    /// Takes every key of the section from a reader.
    pub(crate) fn take(tree: &Tree, name: &SectionName, r: &mut Reader<'_>) -> Self {
        let daemons = daemons(tree, name, r);
        let server = ServerSection {
            name: name.clone(),
            listeners: Vec::new(),
            backlog: 4096,
            keepalive: true,
            workers: Workers::Count(1),
            start: Start::Always,
            program: r.own("program").map(|AbsolutePath(path)| path),
            concurrent_per_worker: 1,
            connections_per_client: None,
            drain_timeout: DRAIN,
            drain_idle: Duration::ZERO,
            log_level: r.get_or("log_level", LogLevel::Info),
            trusted_proxies: TrustedProxies::default(),
        };
        Self { server, daemons }
    }
}

/// The names of a group's daemons: those that are good, have a section, and are listed only once.
fn daemons(tree: &Tree, group: &SectionName, r: &mut Reader<'_>) -> Vec<String> {
    // In [brim] it has no place, and then there is no text.
    let text: Option<String> = r.own("daemons");
    let Some(entry) = r.own_entry("daemons").filter(|_| text.is_some()) else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for DaemonName(name) in r.elements(entry).into_iter().flatten() {
        if names.len() == DAEMONS_MAX {
            r.refuse("daemons", format!("at most {DAEMONS_MAX} daemons are accepted in one group"));
            break;
        }
        if tree.section(&name).is_none() {
            r.refuse("daemons", format!("there is no section [{name}]"));
        } else if names.contains(&name) {
            r.refuse("daemons", format!("{name} is listed twice"));
        } else if let Some(other) = earlier_group(tree, group, &name) {
            r.refuse("daemons", format!("{name} is a daemon of [{other}] already"));
        } else {
            names.push(name);
        }
    }
    names
}

/// The first group before this one that lists the daemon, too.
fn earlier_group(tree: &Tree, group: &SectionName, daemon: &str) -> Option<SectionName> {
    let mut earlier = tree.instances().take_while(|name| name != group);
    earlier.find(|name| {
        let entry = tree.section(&name.section()).and_then(|section| section.entry("daemons"));
        name.kind == Kind::Daemons
            && entry.is_some_and(|entry| entry.value.split_whitespace().any(|word| word == daemon))
    })
}

/// What is wrong with the sections of all daemons, as far as that is known without their programs.
pub(crate) fn check_daemons(tree: &Tree) -> Vec<Problem> {
    let groups = tree.instances().filter(|name| name.kind == Kind::Daemons);
    let groups = groups.map(|name| DaemonsSection::read(tree, &name).0);
    let names = groups.flat_map(|group| group.daemons);
    names.flat_map(|name| DaemonSection::read(tree, &name).1).collect()
}

/// The last part of a daemon's name on the bus: each byte outside `A-Z a-z 0-9`, and a digit in front, as
/// `_xx`. It is no label of a section: those are kinds, or have `_3a` behind one.
pub fn daemon_bus_label(daemon: &str) -> String {
    let label = escape(daemon, |byte| byte.is_ascii_alphanumeric());
    match label.bytes().next() {
        Some(digit @ b'0'..=b'9') => format!("_{digit:02x}{}", label.get(1..).unwrap_or_default()),
        _ => label,
    }
}

/// The daemon of a label on the bus: the reverse of [`daemon_bus_label`].
pub fn daemon_of_bus_label(label: &str) -> Option<String> {
    let mut parts = label.split('_');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let byte = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        name.push(char::from(byte));
        name.push_str(part.get(2..)?);
    }
    is_daemon_name(&name).then_some(name)
}

/// Whether a name can be a daemon's: it is part of a unit's name, and stands beside other names in figures.
fn is_daemon_name(name: &str) -> bool {
    let taken =
        name.parse::<Kind>().is_ok() || [DEFAULTS, "mimetypes", "start_time"].contains(&name);
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    !taken && !number && check_name(name).is_ok()
}

/// A name in `daemons` or `after`.
pub(crate) struct DaemonName(pub(crate) String);

impl<'de> Deserialize<'de> for DaemonName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_daemon_name(&text) {
            return Ok(Self(text));
        }
        let expected = format!(
            "a daemon's name (at most {NAME_MAX} letters, digits and _ . -, the last two not in front; \
             neither a number nor a name with a meaning of its own, such as wsgi)"
        );
        Err(D::Error::invalid_value(Unexpected::Str(&text), &expected.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemons_label_on_the_bus_is_no_other_ones() {
        for (name, label) in
            [("sample", "sample"), ("my-job.v_2", "my_2djob_2ev_5f2"), ("1st", "_31st")]
        {
            assert_eq!(daemon_bus_label(name), label);
            assert_eq!(daemon_of_bus_label(label).as_deref(), Some(name));
        }
        for label in ["wsgi", "wsgi_3ax", "daemons", "a_3ab", "", "_", "brim"] {
            assert_eq!(daemon_of_bus_label(label), None, "{label}");
        }
    }
}
