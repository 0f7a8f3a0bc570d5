//! The units of Brim, as systemd shows them on the bus.

use std::collections::HashMap;

use zbus::zvariant::OwnedObjectPath;

use crate::bus::{Bus, Object};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const PATTERNS: [&str; 4] =
    ["brim@*.service", "brim-listen@*.socket", "brim-daemon@*.service", "brim-daemon@*.timer"];

/// The units that systemd has loaded, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units(HashMap<String, Unit>);

/// One unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// ActiveState: active, reloading, inactive, failed, activating, deactivating.
    pub(crate) active: String,
    /// SubState: running, dead, listening, auto-restart, ...
    pub(crate) sub: String,
    path: OwnedObjectPath,
}

/// One element of what ListUnitsByPatterns returns (org.freedesktop.systemd1(5)).
type Listed =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

impl Units {
    /// Asks systemd. An error is what the bus says where there is none.
    pub(crate) fn loaded(bus: &Bus) -> zbus::Result<Self> {
        let states: [&str; 0] = [];
        let list: Vec<Listed> = bus.call(
            Object { owner: SYSTEMD, path: "/org/freedesktop/systemd1" },
            "org.freedesktop.systemd1.Manager",
            "ListUnitsByPatterns",
            &(&states[..], &PATTERNS[..]),
        )?;
        let units = list
            .into_iter()
            .map(|(name, _, _, active, sub, _, path, _, _, _)| (name, Unit { active, sub, path }));
        Ok(Self(units.collect()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Unit> {
        self.0.get(name)
    }

    /// The instances of brim@.service that are loaded.
    pub(crate) fn instances(&self) -> impl Iterator<Item = (&str, &Unit)> {
        self.0.iter().filter_map(|(name, unit)| {
            let instance = name.strip_prefix("brim@")?.strip_suffix(".service")?;
            Some((instance, unit))
        })
    }
}

impl Units {
    /// The daemons whose services are loaded.
    pub(crate) fn daemons(&self) -> impl Iterator<Item = (&str, &Unit)> {
        self.0.iter().filter_map(|(name, unit)| {
            let daemon = name.strip_prefix("brim-daemon@")?.strip_suffix(".service")?;
            Some((daemon, unit))
        })
    }
}

impl Unit {
    /// Whether systemd takes it for up.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }

    /// What the server told systemd last.
    pub(crate) fn status_text(&self, bus: &Bus) -> String {
        let interface = "org.freedesktop.systemd1.Service";
        bus.property(self.object(), interface, "StatusText").unwrap_or_default()
    }

    /// When it came up, in microseconds since 1970; 0 when it never did.
    pub(crate) fn since(&self, bus: &Bus) -> u64 {
        let interface = "org.freedesktop.systemd1.Unit";
        bus.property(self.object(), interface, "ActiveEnterTimestamp").unwrap_or_default()
    }

    /// When a timer elapses next, in microseconds since 1970; 0 when it does not.
    pub(crate) fn next(&self, bus: &Bus) -> u64 {
        let interface = "org.freedesktop.systemd1.Timer";
        let next = bus.property(self.object(), interface, "NextElapseUSecRealtime");
        next.ok().filter(|next| *next != u64::MAX).unwrap_or_default()
    }

    fn object(&self) -> Object<'_> {
        Object { owner: SYSTEMD, path: self.path.as_str() }
    }
}
