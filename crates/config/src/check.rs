//! What is wrong with a configuration as a whole.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use crate::address::{Address, Listener, SocketType};
use crate::daemons::check_daemons;
use crate::gateway::GatewaySection;
use crate::handler::HandlerSection;
use crate::name::{Kind, SectionName};
use crate::nearest::nearest;
use crate::problem::{Cause, Origin, Problem, Severity};
use crate::reader::Reader;
use crate::server::{ServerSection, by_kind};
use crate::tree::{DEFAULTS, Section, Tree};

/// Checks everything that needs no app: each section that Brim owns is read whole, and beyond that
/// addresses that are taken twice, kinds that this version does not have, and (a warning)
/// sections that nothing refers to. The problems of [`Tree::load`] are not repeated.
pub fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = defaults(tree);
    let mut taken = Taken::default();
    let mut referred: HashSet<&str> = HashSet::new();
    for section in tree.sections() {
        let Ok(name) = SectionName::parse(&section.name) else { continue };
        referred.extend(references(section));
        let mut reader = Reader::with_fallback(tree, &section.name);
        let server = by_kind(tree, &name, &mut reader);
        if name.kind.has_app() {
            reader.leave_rest();
        }
        let own = |problem: &Problem| problem.section.as_deref() != Some(DEFAULTS);
        problems.extend(reader.finish().into_iter().filter(own));
        if name.kind == Kind::Gateway {
            let (gateway, _) = GatewaySection::read(tree, &name);
            for endpoint in gateway.endpoints() {
                let owner = tree.section(&gateway.section_of(endpoint.role)).unwrap_or(section);
                problems.extend(taken.add(owner, endpoint.listener));
            }
            continue;
        }
        for listener in server.listeners {
            problems.extend(taken.add(section, listener));
        }
    }
    problems
        .extend(HandlerSection::names(tree).flat_map(|name| HandlerSection::read(tree, name).1));
    problems.extend(check_daemons(tree));
    problems.extend(unused(tree, &referred));
    tree.arrange(problems)
}

/// The listeners of every section that can be served, as far as their addresses can be read, whatever
/// else is wrong.
pub fn listeners(tree: &Tree) -> Vec<(SectionName, Vec<Listener>)> {
    tree.instances()
        .map(|name| {
            let listeners = ServerSection::read(tree, &name).listeners;
            (name, listeners)
        })
        .collect()
}

/// What is wrong in `[brim]`, whichever sections use it.
pub(crate) fn defaults(tree: &Tree) -> Vec<Problem> {
    let mut reader = Reader::new(tree, DEFAULTS);
    for kind in Kind::ALL {
        by_kind(tree, &SectionName { kind, name: None }, &mut reader);
    }
    reader.finish()
}

/// Names of sections in the keys of a section that hold such.
fn references(section: &Section) -> impl Iterator<Item = &str> {
    ["apps", "daemons"]
        .into_iter()
        .filter_map(|key| section.entry(key))
        .flat_map(|entry| entry.value.split_whitespace())
}

/// A section that no key names: those who want it know where it is.
const SHARED: &str = "mimetypes";

fn unused(tree: &Tree, referred: &HashSet<&str>) -> Vec<Problem> {
    let owned = || Kind::ALL.iter().map(|kind| kind.as_str()).chain([DEFAULTS]);
    tree.sections()
        .filter(|section| SectionName::parse(&section.name).is_err() && section.name != DEFAULTS)
        .filter(|section| section.name != SHARED && !referred.contains(section.name.as_str()))
        .map(|section| {
            let nearest = nearest(&section.name.to_lowercase(), owned()).map(str::to_owned);
            about(section, Severity::Warning, Cause::Unused { nearest })
        })
        .collect()
}

fn about(section: &Section, severity: Severity, cause: Cause) -> Problem {
    Problem {
        origin: Some(section.origin.clone()),
        section: Some(section.name.clone()),
        key: None,
        severity,
        cause,
    }
}

/// The addresses of the sections so far.
#[derive(Default)]
struct Taken<'a> {
    exact: HashMap<(SocketType, Address), Owner<'a>>,
    /// For each port: its first listener, and the wildcard's.
    ports: HashMap<Port, (Owner<'a>, Option<Owner<'a>>)>,
}

/// TCP and UDP have ports of their own, and so have IPv4 and IPv6.
#[derive(PartialEq, Eq, Hash)]
struct Port {
    socket_type: SocketType,
    ipv4: bool,
    number: u16,
}

impl Port {
    fn of(listener: &Listener, tcp: SocketAddr) -> Self {
        Self { socket_type: listener.socket_type, ipv4: tcp.is_ipv4(), number: tcp.port() }
    }
}

#[derive(Clone)]
struct Owner<'a> {
    section: &'a str,
    listener: Listener,
}

impl<'a> Taken<'a> {
    /// Adds a listener, or tells which one of another section has its place already.
    fn add(&mut self, section: &'a Section, listener: Listener) -> Option<Problem> {
        let new = Owner { section: &section.name, listener };
        if let Some(other) = self.conflict(&new.listener)
            && other.section != new.section
        {
            return Some(new.taken_by(other, &section.origin));
        }
        if let Address::Tcp(tcp) = &new.listener.address {
            let wildcard = tcp.ip().is_unspecified().then(|| new.clone());
            let key = Port::of(&new.listener, *tcp);
            let (_, known) = self.ports.entry(key).or_insert_with(|| (new.clone(), None));
            *known = known.take().or(wildcard);
        }
        self.exact.insert(place(&new.listener), new);
        None
    }

    fn conflict(&self, listener: &Listener) -> Option<&Owner<'a>> {
        let address = &listener.address;
        let exact = self.exact.get(&place(listener));
        if let Some(same) = exact.filter(|same| same.listener.address.overlaps(address)) {
            return Some(same);
        }
        let Address::Tcp(tcp) = address else { return None };
        if tcp.port() == 0 {
            return None;
        }
        let (first, wildcard) = self.ports.get(&Port::of(listener, *tcp))?;
        if tcp.ip().is_unspecified() { Some(first) } else { wildcard.as_ref() }
    }
}

/// What only one socket can have. A path holds one socket, whatever its type.
fn place(listener: &Listener) -> (SocketType, Address) {
    let socket_type = match listener.address {
        Address::Tcp(_) => listener.socket_type,
        Address::Unix(_) => SocketType::Stream,
    };
    (socket_type, listener.address.clone())
}

impl Owner<'_> {
    fn taken_by(self, other: &Self, fallback: &Origin) -> Problem {
        Problem {
            origin: self.listener.origin.or_else(|| Some(fallback.clone())),
            section: Some(self.section.to_owned()),
            key: None,
            severity: Severity::Error,
            cause: Cause::AddressTaken {
                address: self.listener.address.to_string(),
                other_address: other.listener.address.to_string(),
                other: other.section.to_owned(),
                origin: other.listener.origin.clone(),
            },
        }
    }
}
