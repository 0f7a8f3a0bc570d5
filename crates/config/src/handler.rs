//! Sections with `call = handler`: a route of a front end, and the endpoints at which a gateway meets its
//! handlers. Front end and gateway read it by the same code.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::address::{Address, Listener, SocketType};
use crate::gateway::{link_of, max_exchanges_of};
use crate::name::{Kind, SectionName};
use crate::problem::{Origin, Problem};
use crate::quantity::{AbsolutePath, Count, SizeWithin, Span};
use crate::reader::Reader;
use crate::tree::{Entry, Tree};
use crate::value;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// What `call` says in the section of a handler.
const CALL: &str = "handler";

/// The longest `send_ident`, `recv_ident` and `upload_group`, in bytes.
const IDENT_MAX: usize = 255;

/// Folders that a unit of Brim does not see as others do: uploads there would reach nobody.
const HIDDEN: [&str; 6] = ["/dev", "/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// A section of a handler. Keys are looked up in the section alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerSection {
    /// The section's own name.
    pub name: String,
    /// `gateway`: name of the gateway that meets the handlers, NAME for `[gateway#NAME]`; default unset, that is
    /// `[gateway]`.
    pub gateway: SectionName,
    /// Where that gateway meets front ends: its `link`.
    pub link: PathBuf,
    /// How many requests each front end's worker may have at that gateway: its `max_exchanges`.
    pub max_exchanges: usize,
    /// `send_spec`: endpoint where handlers fetch requests (PULL), `tcp://127.0.0.1:9997` or
    /// `ipc:///run/brim/chat-send.sock`; must be set.
    pub send_spec: Address,
    /// Where `send_spec` stands.
    pub send_origin: Option<Origin>,
    /// `send_ident`: id that requests carry and replies repeat, 1 to 255 letters, digits and hyphens; default the
    /// section's name, other characters as hyphens.
    pub send_ident: String,
    /// `recv_spec`: endpoint to which handlers publish replies (PUB), in the forms of `send_spec`; must be set.
    pub recv_spec: Address,
    /// Where `recv_spec` stands.
    pub recv_origin: Option<Origin>,
    /// `recv_ident`: what replies begin with, a subscription; default empty, that is all.
    pub recv_ident: String,
    /// `protocol`: `json` or `tnetstring`, how headers are written; default `json`.
    pub protocol: Protocol,
    /// `raw_payload`: yes or no, replies to socket messages go out as they are, not as base64 and a NUL; default
    /// no.
    pub raw_payload: bool,
    /// `conn_id`: `exchange` or `connection`, whether each request has an id of its own, or all of a client's
    /// connection have one; default `exchange`.
    pub conn_id: ConnId,
    /// `handler_wait`: time that a request waits while no handler is connected, then 503; default 0.
    pub handler_wait: Duration,
    /// `handler_timeout`: time until a handler begins its answer, then 504, 0 for no limit; default 60s.
    pub handler_timeout: Duration,
    /// `max_outstanding`: requests without an answer at a time, 1 to 1000000, beyond it 503; default 16384.
    pub max_outstanding: usize,
    /// `max_queue`: size in bytes of what waits for handlers that are connected and do not read, 64K to 4G,
    /// beyond it 503; default 16M.
    pub max_queue: usize,
    /// `max_reply`: size of one message of a handler, 1K to 1G, beyond it the handler is disconnected; default
    /// 16M.
    pub max_reply: usize,
    /// `max_waiting`: size in bytes of what waits for one slow client, 64K to 4G, beyond it the client's
    /// connection is closed; default 32M.
    pub max_waiting: usize,
    /// `max_inline`: size of a body that a handler gets within the request, 0 to 1G; longer ones are
    /// uploads, or 413. Default 20K with `upload_store` or `upload_stream`, else 1M.
    pub max_inline: usize,
    /// `max_message`: size of a WebSocket or socket message of a client, 1 to 1G; default 1M.
    pub max_message: usize,
    /// `upload_store`: absolute path of a folder for longer bodies, default unset.
    pub upload_store: Option<PathBuf>,
    /// Where `upload_store` stands.
    pub upload_origin: Option<Origin>,
    /// `upload_mode`: permissions of files there, octal, 0600 to 0666; default 0640.
    pub upload_mode: u32,
    /// `upload_group`: group of files there, default unset, that is the folder's if it has the set-group-ID bit,
    /// else brim.
    pub upload_group: Option<String>,
    /// `upload_stream`: yes or no, longer bodies go to the handler in pieces as it asks for them; default no.
    pub upload_stream: bool,
    /// `download_credits`: size in bytes that a handler may have on the way to a client, of which requests and
    /// notices tell it, 0 or 64K to 1G; default 0, that is off.
    pub download_credits: u64,
    /// `sendfile_root`: absolute path of the folder whose files handlers may have sent, default unset: none.
    pub sendfile_root: Option<PathBuf>,
    /// `handler_group`: group that may connect to `ipc://` endpoints, default brim.
    pub handler_group: String,
    /// `handler_mode`: permissions of `ipc://` endpoints, octal, 0600 to 0777; default 0660.
    pub handler_mode: u32,
}

/// How the headers of requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// As a JSON object.
    Json,
    /// As a tnetstring.
    Tnetstring,
}

/// What has an id of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnId {
    /// Each request of HTTP, each WebSocket, each connection with socket messages.
    Exchange,
    /// Each connection of a client, as long as it has one request at a time.
    Connection,
}

impl HandlerSection {
    /// The names of all sections of handlers.
    pub fn names(tree: &Tree) -> impl Iterator<Item = &str> {
        let is_handler = |call: &Entry| call.value == CALL;
        tree.sections()
            .filter(move |section| section.entry("call").is_some_and(is_handler))
            .map(|section| section.name.as_str())
    }

    /// Reads a section; keys that only the front end knows are no problems. `None` if an error keeps it from
    /// being served.
    pub fn read(tree: &Tree, name: &str) -> (Option<Self>, Vec<Problem>) {
        let mut reader = Reader::new(tree, name);
        let read = Self::take(&mut reader);
        (read, reader.into_problems())
    }

    /// The gateway that a section names, as far as it can be read.
    pub fn gateway_of(tree: &Tree, name: &str) -> Option<SectionName> {
        let entry = tree.section(name)?.entry("gateway").filter(|entry| !entry.value.is_empty());
        let named =
            entry.map(|entry| value::parse::<GatewayName>(&entry.value)).transpose().ok()?;
        Some(SectionName { kind: Kind::Gateway, name: named.map(|GatewayName(name)| name) })
    }

    /// The endpoints of a section that can be read, whatever else is wrong there.
    pub(crate) fn listeners(tree: &Tree, name: &str) -> Vec<Listener> {
        let entries = ["send_spec", "recv_spec"].map(|key| tree.section(name)?.entry(key));
        let entries = entries.into_iter().flatten();
        let listener = |entry: &Entry| {
            let Spec(address) = value::parse(&entry.value).ok()?;
            let origin = Some(entry.origin.clone());
            Some(Listener { address, socket_type: SocketType::Stream, origin })
        };
        entries.filter_map(listener).collect()
    }

    /// Takes every key of the section, as far as handlers and their gateway are concerned, from a reader.
    /// `None` if a key that must be set is missing or bad.
    pub fn take(r: &mut Reader<'_>) -> Option<Self> {
        let name = r.name().to_owned();
        let gateway = gateway(r);
        let link = link_of(r.tree(), &gateway);
        let max_exchanges = max_exchanges_of(r.tree(), &gateway);
        let send_spec = r.require("send_spec").map(|Spec(address)| address);
        let recv_spec = r.require("recv_spec").map(|Spec(address)| address);
        if send_spec.is_some() && send_spec == recv_spec {
            r.refuse("recv_spec", "is that of send_spec, expected another endpoint");
        }
        let upload_store = store(r, "upload_store");
        let upload_stream = r.get_or("upload_stream", false);
        if upload_stream && upload_store.is_some() {
            r.refuse("upload_stream", "does not go together with upload_store");
        }
        let is_upload = upload_stream || upload_store.is_some();
        let max_inline = if is_upload { 20 * KIB } else { MIB };
        let sendfile_root = r.get("sendfile_root").map(|AbsolutePath(path)| path);
        let max_reply = size::<KIB, GIB>(r, "max_reply", 16 * MIB);
        Some(Self {
            gateway,
            link,
            max_exchanges,
            send_origin: r.origin("send_spec"),
            send_ident: r.get("send_ident").map_or_else(|| ident_of(&name), |Ident(ident)| ident),
            recv_origin: r.origin("recv_spec"),
            recv_ident: r.get("recv_ident").map_or_else(String::new, |Prefix(prefix)| prefix),
            protocol: r.get_or("protocol", Protocol::Json),
            raw_payload: r.get_or("raw_payload", false),
            conn_id: r.get_or("conn_id", ConnId::Exchange),
            handler_wait: r.get_or("handler_wait", Span(Duration::ZERO)).0,
            handler_timeout: r.get_or("handler_timeout", Span(Duration::from_secs(60))).0,
            max_outstanding: narrow(r.get_or("max_outstanding", Count::<1, 1_000_000>(16_384)).0),
            max_queue: size::<{ 64 * KIB }, { 4 * GIB }>(r, "max_queue", 16 * MIB),
            max_reply,
            max_waiting: size::<{ 64 * KIB }, { 4 * GIB }>(r, "max_waiting", 32 * MIB),
            max_inline: size::<0, GIB>(r, "max_inline", max_inline),
            max_message: size::<1, GIB>(r, "max_message", MIB),
            upload_origin: r.origin("upload_store"),
            upload_store,
            upload_mode: r.get_or("upload_mode", Mode::<0o600, 0o666>(0o640)).0,
            upload_group: r.get("upload_group").map(|Group(group)| group),
            upload_stream,
            download_credits: credits(r),
            sendfile_root,
            handler_group: r
                .get("handler_group")
                .map_or_else(|| "brim".to_owned(), |Group(group)| group),
            handler_mode: r.get_or("handler_mode", Mode::<0o600, 0o777>(0o660)).0,
            send_spec: send_spec?,
            recv_spec: recv_spec?,
            name,
        })
    }
}

/// The gateway's section, which must be there.
fn gateway(r: &mut Reader<'_>) -> SectionName {
    let named = r.get::<GatewayName>("gateway").map(|GatewayName(name)| name);
    let name = SectionName { kind: Kind::Gateway, name: named };
    if r.tree().section(&name.section()).is_none() {
        r.refuse("gateway", format!("there is no section [{name}], which meets the handlers"));
    }
    name
}

/// A folder that the gateway's unit can see and write.
fn store(r: &mut Reader<'_>, key: &'static str) -> Option<PathBuf> {
    let AbsolutePath(path) = r.get(key)?;
    let hidden = HIDDEN.iter().find(|hidden| path.starts_with(Path::new(hidden)));
    if let Some(hidden) = hidden {
        r.refuse(
            key,
            format!(
                "{} is below {hidden}, which the gateway has of its own or not at all; expected \
                 another folder, such as /var/lib/brim-uploads",
                path.display()
            ),
        );
    }
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace();
    if !path.to_str().is_some_and(|text| text.chars().all(is_plain)) {
        r.refuse(key, "has white space, expected a path without");
    }
    Some(path)
}

fn credits(r: &mut Reader<'_>) -> u64 {
    let SizeWithin::<0, GIB>(credits) = r.get_or("download_credits", SizeWithin(0));
    if (1..64 * KIB).contains(&credits) {
        r.refuse("download_credits", format!("{credits} is less than 64K, and not 0"));
    }
    credits
}

/// A section's name as an id.
fn ident_of(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().take(IDENT_MAX).map(letter).collect()
}

fn size<const MIN: u64, const MAX: u64>(
    r: &mut Reader<'_>,
    key: &'static str,
    default: u64,
) -> usize {
    narrow(r.get_or(key, SizeWithin::<MIN, MAX>(default)).0)
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An endpoint of ZeroMQ.
struct Spec(Address);

/// NAME of `[gateway#NAME]`.
struct GatewayName(String);

struct Ident(String);

struct Prefix(String);

struct Group(String);

/// Permissions, octal.
struct Mode<const MIN: u32, const MAX: u32>(u32);

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = match text.split_once("://") {
            Some(("tcp", address)) => address.parse().ok(),
            Some(("ipc", path)) => format!("unix:{path}").parse().ok(),
            _ => None,
        };
        let is_tcp = text.starts_with("tcp");
        address
            .filter(|address| match address {
                Address::Tcp(tcp) => is_tcp && tcp.port() != 0,
                Address::Unix(_) => !is_tcp,
            })
            .map(Self)
            .ok_or_else(|| {
                let expected = "an endpoint (tcp://127.0.0.1:9997, tcp://*:9997, \
                                ipc:///absolute/path; names are not looked up)";
                D::Error::invalid_value(Unexpected::Str(&text), &expected)
            })
    }
}

impl<'de> Deserialize<'de> for GatewayName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match SectionName::parse(&format!("gateway#{text}")) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(D::Error::invalid_value(
                Unexpected::Str(&text),
                &"the name of a gateway (NAME for [gateway#NAME])",
            )),
        }
    }
}

macro_rules! words {
    ($($type:ident $good:expr, $expected:literal;)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let good: fn(char) -> bool = $good;
                if !text.is_empty() && text.len() <= IDENT_MAX && text.chars().all(good) {
                    return Ok(Self(text));
                }
                Err(D::Error::invalid_value(Unexpected::Str(&text), &$expected))
            }
        }
    )*};
}

words! {
    Ident |c| c.is_ascii_alphanumeric() || c == '-', "1 to 255 letters, digits and hyphens";
    Prefix |c| c.is_ascii_graphic(), "1 to 255 characters of ASCII without blanks";
    Group |c| c.is_ascii_alphanumeric() || "_.-".contains(c), "a group (letters, digits and _ . -)";
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Mode<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) && text.len() <= 4;
        let mode = u32::from_str_radix(&text, 8).ok().filter(|_| digits);
        mode.filter(|mode| mode & MIN == MIN && mode & !MAX == 0).map(Self).ok_or_else(|| {
            let expected = format!("permissions from {MIN:04o} to {MAX:04o} (octal, such as 0640)");
            D::Error::invalid_value(Unexpected::Str(&text), &expected.as_str())
        })
    }
}
