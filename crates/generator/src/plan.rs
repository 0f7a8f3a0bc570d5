//! The configuration to unit files. Pure: nothing is read, nothing is written.
//!
//! For each listener of a section there is a drop-in for an instance of `brim-listen@.socket`, for each
//! section one for its instance of `brim@.service`. The service *wants* its sockets, and no more than that:
//! with `Requires=`, `BindsTo=` or `PartOf=` one bad listener would take the others along, or a
//! restart would close them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use brim_config::{Address, Kind, Listener, SectionName, ServerSection, SocketType, Start, Tree};

use crate::daemons;
use crate::gateway::Extra;

/// The name of every drop-in.
const DROP_IN: &str = "50-brim.conf";

/// The template that a socket's link leads to.
const SOCKET_TEMPLATE: &str = "/usr/lib/systemd/system/brim-listen@.socket";

/// `Backlog=` in that template.
const TEMPLATE_BACKLOG: u32 = 4096;

pub(crate) const HEADER: &str =
    "# By brim-generator, from Brim's configuration. Written anew at each daemon-reload.\n";

/// One file below the generator's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFile {
    /// Its path, relative to the directory.
    pub path: PathBuf,
    /// What it is.
    pub content: Content,
}

/// What a unit file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file with this text.
    Text(String),
    /// A symbolic link to this target.
    Link(PathBuf),
}

/// The unit files of a configuration.
///
/// A section's listeners are there as far as their addresses can be read, whatever else is wrong with the
/// section: systemd closes a listener that has no unit any more.
pub fn plan(tree: &Tree) -> Vec<UnitFile> {
    let servers = tree.instances().flat_map(|name| server(tree, &name));
    servers.chain(daemons::plan(tree)).collect()
}

/// A server and its listeners.
fn server(tree: &Tree, name: &SectionName) -> Vec<UnitFile> {
    let section = ServerSection::read(tree, name);
    let own_file = tree.section(&name.section()).map(|own| &*own.origin.file);
    let extra = Extra::of(tree, name);
    let mut files = vec![service(&section, &extra, own_file)];
    for listener in &section.listeners {
        let unit = listener.unit(name);
        files.push(socket(&section, &extra, listener, &unit));
        if section.start == Start::OnDemand {
            files.push(UnitFile {
                path: Path::new("sockets.target.wants").join(unit),
                content: Content::Link(SOCKET_TEMPLATE.into()),
            });
        }
    }
    files
}

fn service(section: &ServerSection, extra: &Extra, own_file: Option<&Path>) -> UnitFile {
    let source = section.listeners.iter().find_map(|listener| listener.origin.as_ref());
    let mut text = format!("{HEADER}[Unit]\n");
    source_path(&mut text, source.map(|origin| &*origin.file).or(own_file));
    for key in ["Wants", "After"] {
        for listener in &section.listeners {
            line(&mut text, key, &listener.unit(&section.name));
        }
    }
    extra.wants.iter().for_each(|unit| line(&mut text, "Wants", unit));
    text.push_str(&extra.service());
    if section.name.kind == Kind::Daemons {
        daemons::group(section, &mut text);
    }
    drop_in(&section.name.unit(), text)
}

fn socket(section: &ServerSection, extra: &Extra, listener: &Listener, unit: &str) -> UnitFile {
    let mut text = format!("{HEADER}[Unit]\n");
    source_path(&mut text, listener.origin.as_ref().map(|origin| &*origin.file));
    text.push_str("\n[Socket]\n");
    line(&mut text, "Service", &section.name.unit());
    let listen = match listener.socket_type {
        SocketType::Stream => "ListenStream",
        SocketType::Datagram => "ListenDatagram",
    };
    line(&mut text, listen, &listen_value(&listener.address));
    if section.backlog != TEMPLATE_BACKLOG {
        line(&mut text, "Backlog", &section.backlog.to_string());
    }
    if !section.keepalive && matches!(listener.address, Address::Tcp(_)) {
        line(&mut text, "KeepAlive", "no");
    }
    extra.socket(&mut text, &listener.address);
    drop_in(unit, text)
}

pub(crate) fn drop_in(unit: &str, text: String) -> UnitFile {
    let path = Path::new(&format!("{unit}.d")).join(DROP_IN);
    UnitFile { path, content: Content::Text(text) }
}

pub(crate) fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key}={value}");
}

/// With `SourcePath=`, systemd itself notices an edit without a daemon-reload. It takes one path.
pub(crate) fn source_path(text: &mut String, file: Option<&Path>) {
    let plain = file.and_then(Path::to_str).filter(|path| !path.contains(char::is_control));
    if let Some(path) = plain {
        line(text, "SourcePath", &literal(path));
    }
}

fn listen_value(address: &Address) -> String {
    match address {
        Address::Tcp(tcp) => tcp.to_string(),
        Address::Unix(path) => literal(&path.to_string_lossy()),
    }
}

/// `%` begins a specifier in unit files, `%%` is the character.
pub(crate) fn literal(text: &str) -> String {
    text.replace('%', "%%")
}
