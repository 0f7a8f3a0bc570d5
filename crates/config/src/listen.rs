//! The listeners of a section: `listen`, or `ip` and `port`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::address::{Address, Listener, SocketType, parse_ip};
use crate::problem::{Cause, Origin, Severity};
use crate::reader::Reader;
use crate::tree::Entry;

/// The most addresses that one section listens on.
const LISTENERS_MAX: usize = 256;

/// Takes `listen`, `ip` and `port`. What is bad is left out; a section without any of them listens
/// on `*:80`.
pub(crate) fn read_listeners(
    r: &mut Reader<'_>,
    socket_type: SocketType,
    any_port: bool,
) -> Vec<Listener> {
    let listeners = read_addresses(r, any_port).into_iter();
    listeners.map(|(address, origin)| Listener { address, socket_type, origin }).collect()
}

/// An address, and where it is written.
type Written = (Address, Option<Origin>);

fn read_addresses(r: &mut Reader<'_>, any_port: bool) -> Vec<Written> {
    let listen = r.own_entry("listen");
    let ip = r.own_entry("ip");
    let port = r.own_entry("port");
    if let Some(listen) = listen {
        for beside in [ip, port].into_iter().flatten() {
            r.note_at(beside, Severity::Error, Cause::BesideListen);
        }
        return from_list(r, listen, any_port);
    }
    // `ip` or `port` of the section itself count more than `listen` of [brim].
    let inherited = r.default_entry("listen").filter(|_| ip.is_none() && port.is_none());
    if let Some(listen) = inherited {
        return from_list(r, listen, any_port);
    }
    let ip = ip.or_else(|| r.default_entry("ip"));
    let port = port.or_else(|| r.default_entry("port"));
    from_parts(r, ip, port, any_port).into_iter().collect()
}

fn from_parts(
    r: &mut Reader<'_>,
    ip: Option<&Entry>,
    port: Option<&Entry>,
    any_port: bool,
) -> Option<Written> {
    let address = ip.map_or(Some(Ip(Ipv4Addr::UNSPECIFIED.into())), |entry| r.parse(entry));
    let number = port.map_or(Some(Port(80)), |entry| {
        r.parse(entry).filter(|port| accept(r, entry, *port, any_port))
    });
    let address = Address::Tcp(SocketAddr::new(address?.0, number?.0));
    let origin = port.or(ip).map(|entry| entry.origin.clone()).or_else(|| r.origin("port"));
    Some((address, origin))
}

fn from_list(r: &mut Reader<'_>, listen: &Entry, any_port: bool) -> Vec<Written> {
    let mut listeners: Vec<Written> = Vec::new();
    for address in r.elements::<Address>(listen).into_iter().flatten() {
        if listeners.len() == LISTENERS_MAX {
            r.note_at(listen, Severity::Error, Cause::TooManyAddresses { limit: LISTENERS_MAX });
            break;
        }
        if let Address::Tcp(tcp) = address
            && !accept(r, listen, Port(tcp.port()), any_port)
        {
            continue;
        }
        if let Some((taken, _)) = listeners.iter().find(|(taken, _)| taken.overlaps(&address)) {
            let cause = Cause::AddressTaken {
                address: address.to_string(),
                other_address: taken.to_string(),
                other: r.name().to_owned(),
                origin: None,
            };
            let same = *taken == address;
            r.note_at(listen, Severity::Error, cause);
            if same {
                continue;
            }
        }
        listeners.push((address, Some(listen.origin.clone())));
    }
    listeners
}

fn accept(r: &mut Reader<'_>, entry: &Entry, port: Port, any_port: bool) -> bool {
    let accepted = port.0 != 0 || any_port;
    if !accepted {
        r.note_at(entry, Severity::Error, Cause::PortZero);
    }
    accepted
}

struct Ip(IpAddr);

#[derive(Clone, Copy)]
struct Port(u16);

impl<'de> Deserialize<'de> for Ip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "an address (*, 8.8.8.8, ::1; names are not looked up)";
        parse_ip(&text)
            .map(Self)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let port =
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        port.map(Self).ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Str(&text), &"a port from 1 to 65535")
        })
    }
}
