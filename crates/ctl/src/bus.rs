//! The servers that run, as the system bus shows them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use brim_config::{SectionName, daemon_bus_label};
use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::zvariant::{DynamicType, OwnedValue};

use crate::error::Error;

/// Every server's name begins so.
const PREFIX: &str = "net.brim.Brim1.";
const STATS: &str = "net.brim.Brim1.Stats";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How long somebody on the bus may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The system bus.
pub(crate) struct Bus(Connection);

/// An object on the bus: who has it, and its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'a> {
    pub(crate) owner: &'a str,
    pub(crate) path: &'a str,
}

const DAEMON: Object<'_> = Object { owner: "org.freedesktop.DBus", path: "/org/freedesktop/DBus" };

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) state: String,
    /// Epoch seconds.
    pub(crate) start_time: u64,
    pub(crate) workers: u32,
    pub(crate) listeners: Vec<String>,
}

impl Bus {
    pub(crate) fn connect() -> Result<Self, Error> {
        Builder::system()
            .and_then(|builder| builder.method_timeout(TIMEOUT).build())
            .map(Self)
            .map_err(Error::NoBus)
    }

    /// The sections that have a server on the bus, by name.
    pub(crate) fn running(&self) -> Result<Vec<SectionName>, Error> {
        let names: Vec<String> =
            self.call(DAEMON, DAEMON.owner, "ListNames", &()).map_err(Error::Bus)?;
        let labels = names.iter().filter_map(|name| name.strip_prefix(PREFIX));
        let mut running: Vec<_> = labels.filter_map(section).collect();
        running.sort();
        Ok(running)
    }

    pub(crate) fn instance(&self, name: &SectionName) -> zbus::Result<Instance> {
        let mut all: HashMap<String, OwnedValue> = self.call(
            Object::of(&name.bus_name()),
            PROPERTIES,
            "GetAll",
            &(brim_launch::bus::INSTANCE),
        )?;
        Ok(Instance {
            state: take(&mut all, "State")?,
            start_time: take(&mut all, "StartTime")?,
            workers: take(&mut all, "Workers")?,
            listeners: take(&mut all, "Listeners")?,
        })
    }

    /// A server's counters by name.
    pub(crate) fn totals(&self, name: &SectionName) -> zbus::Result<BTreeMap<String, u64>> {
        self.totals_of(&name.bus_name())
    }

    /// A daemon's figures by name.
    pub(crate) fn daemon_totals(&self, daemon: &str) -> zbus::Result<BTreeMap<String, u64>> {
        self.totals_of(&format!("{PREFIX}{}", daemon_bus_label(daemon)))
    }

    fn totals_of(&self, owner: &str) -> zbus::Result<BTreeMap<String, u64>> {
        let totals: HashMap<String, u64> = self.property(Object::of(owner), STATS, "Totals")?;
        Ok(totals.into_iter().collect())
    }

    /// A server's part of Brim's stats document.
    pub(crate) fn json(&self, name: &SectionName) -> zbus::Result<String> {
        self.call(Object::of(&name.bus_name()), STATS, "Json", &())
    }

    pub(crate) fn property<T>(
        &self,
        object: Object<'_>,
        interface: &str,
        property: &str,
    ) -> zbus::Result<T>
    where
        T: TryFrom<OwnedValue>,
        T::Error: Into<zbus::Error>,
    {
        let value: OwnedValue = self.call(object, PROPERTIES, "Get", &(interface, property))?;
        T::try_from(value).map_err(Into::into)
    }

    pub(crate) fn call<B, T>(
        &self,
        object: Object<'_>,
        interface: &str,
        method: &str,
        body: &B,
    ) -> zbus::Result<T>
    where
        B: serde::Serialize + DynamicType,
        T: serde::de::DeserializeOwned + zbus::zvariant::Type,
    {
        let Object { owner, path } = object;
        self.0.call_method(Some(owner), path, Some(interface), method, body)?.body().deserialize()
    }
}

impl<'a> Object<'a> {
    /// The object of a server, by its name on the bus.
    fn of(owner: &'a str) -> Self {
        Self { owner, path: brim_launch::bus::PATH }
    }
}

fn take<T>(all: &mut HashMap<String, OwnedValue>, property: &str) -> zbus::Result<T>
where
    T: TryFrom<OwnedValue>,
    T::Error: Into<zbus::Error>,
{
    let value = all.remove(property).ok_or(zbus::Error::InvalidReply)?;
    T::try_from(value).map_err(Into::into)
}

/// The section of a label: the reverse of [`SectionName::bus_label`].
fn section(label: &str) -> Option<SectionName> {
    let mut parts = label.split('_');
    let mut instance = parts.next()?.to_owned();
    for part in parts {
        let byte = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        instance.push(char::from(byte));
        instance.push_str(part.get(2..)?);
    }
    SectionName::parse(&instance).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_tells_its_section() {
        for text in ["wsgi", "wsgi#alternate", "wsgi#my-app.v_2"] {
            let name = SectionName::parse(text).unwrap();
            assert_eq!(section(&name.bus_label()), Some(name), "{text}");
        }
        for label in ["", "nonsense", "wsgi_", "wsgi_zz", "wsgi_3"] {
            assert_eq!(section(label), None, "{label}");
        }
    }
}
