//! What is wrong with a configuration as a whole.

use std::collections::{HashMap, HashSet};

use crate::address::{Address, Listener};
use crate::http::HttpSection;
use crate::name::{Kind, SectionName};
use crate::nearest::nearest;
use crate::problem::{Cause, Origin, Problem, Severity};
use crate::reader::Reader;
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
        if name.kind != Kind::Wsgi {
            let cause = Cause::KindNotYet { kind: name.kind };
            problems.push(about(section, Severity::Error, cause));
            continue;
        }
        let mut reader = Reader::with_fallback(tree, &section.name);
        let http = HttpSection::take(tree, &name, &mut reader);
        let own = |problem: &Problem| problem.section.as_deref() != Some(DEFAULTS);
        problems.extend(reader.finish().into_iter().filter(own));
        for listener in http.listeners {
            problems.extend(taken.add(section, listener));
        }
    }
    problems.extend(unused(tree, &referred));
    tree.arrange(problems)
}

/// The listeners of every section that can be served, as far as their addresses can be read, whatever
/// else is wrong.
pub fn listeners(tree: &Tree) -> Vec<(SectionName, Vec<Listener>)> {
    tree.instances()
        .filter(|name| name.kind == Kind::Wsgi)
        .map(|name| {
            let listeners = HttpSection::read(tree, &name).0.listeners;
            (name, listeners)
        })
        .collect()
}

/// What is wrong in `[brim]`, whichever sections use it.
pub(crate) fn defaults(tree: &Tree) -> Vec<Problem> {
    let mut reader = Reader::new(tree, DEFAULTS);
    HttpSection::take(tree, &SectionName { kind: Kind::Wsgi, name: None }, &mut reader);
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
    exact: HashMap<Address, Owner<'a>>,
    /// For each family and port: its first listener, and the wildcard's.
    ports: HashMap<(bool, u16), (Owner<'a>, Option<Owner<'a>>)>,
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
        if let Some(other) = self.conflict(&new.listener.address)
            && other.section != new.section
        {
            return Some(new.taken_by(other, &section.origin));
        }
        if let Address::Tcp(tcp) = &new.listener.address {
            let wildcard = tcp.ip().is_unspecified().then(|| new.clone());
            let key = (tcp.is_ipv4(), tcp.port());
            let (_, known) = self.ports.entry(key).or_insert_with(|| (new.clone(), None));
            *known = known.take().or(wildcard);
        }
        self.exact.insert(new.listener.address.clone(), new);
        None
    }

    fn conflict(&self, address: &Address) -> Option<&Owner<'a>> {
        if let Some(same) =
            self.exact.get(address).filter(|same| same.listener.address.overlaps(address))
        {
            return Some(same);
        }
        let Address::Tcp(tcp) = address else { return None };
        if tcp.port() == 0 {
            return None;
        }
        let (first, wildcard) = self.ports.get(&(tcp.is_ipv4(), tcp.port()))?;
        if tcp.ip().is_unspecified() { Some(first) } else { wildcard.as_ref() }
    }
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
