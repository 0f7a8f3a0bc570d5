//! `brimctl status`: configured and running servers, one line each.

use std::time::{SystemTime, UNIX_EPOCH};

use brim_config::{Kind, SectionName, ServerSection, Start, has_errors};
use brim_launch::Exit;
use brim_launch::program::Source;

use crate::bus::{Bus, Instance};
use crate::error::Error;
use crate::output::{self, Table};
use crate::source::Loaded;
use crate::systemd::{Unit, Units};

mod daemons;

const HEAD: [&str; 7] = ["SECTION", "UNIT", "STATE", "UP", "WORKERS", "REQUESTS", "LISTENERS"];
const NONE: &str = "-";

pub(crate) fn status(source: &Source, named: &[SectionName]) -> Result<Exit, Error> {
    let loaded = Loaded::new(source);
    let view = View::new(&loaded);
    let sections = if named.is_empty() { view.sections() } else { named.to_vec() };
    if sections.is_empty() {
        output::complain(&loaded.nothing_to_serve().to_string());
    } else {
        let mut table = Table::default();
        table.line(HEAD);
        for name in &sections {
            view.row(name, &mut table);
            for daemon in view.daemons(name) {
                view.daemon_row(&daemon, &mut table);
            }
        }
        if named.is_empty() {
            view.left_over(&mut table);
        }
        output::print(&table.text())?;
    }
    if has_errors(&loaded.problems) {
        output::complain("the configuration has errors, see: brimctl check");
    }
    let mut daemons = sections.iter().flat_map(|name| view.daemons(name));
    let all = sections.iter().all(|name| view.is_served(name))
        && daemons.all(|daemon| view.daemon_runs(&daemon));
    view.bus?;
    Ok(if all { Exit::Success } else { Exit::NotRunning })
}

/// Everything that is known of what runs.
struct View<'a> {
    loaded: &'a Loaded<'a>,
    bus: Result<Bus, Error>,
    /// None where there is no systemd.
    units: Option<Units>,
    running: Vec<SectionName>,
    now: u64,
}

impl<'a> View<'a> {
    fn new(loaded: &'a Loaded<'a>) -> Self {
        let bus = Bus::connect();
        let known = bus.as_ref().ok();
        let units = known.and_then(|bus| Units::loaded(bus).ok());
        let running = known.and_then(|bus| bus.running().ok()).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { loaded, bus, units, running, now }
    }

    /// The sections of the configuration in their order, then what runs or failed without one.
    fn sections(&self) -> Vec<SectionName> {
        let mut sections: Vec<_> = self.loaded.tree.instances().collect();
        let units = self.units.iter().flat_map(Units::instances);
        let units = units
            .filter(|(_, unit)| unit.active != "inactive")
            .filter_map(|(instance, _)| SectionName::parse(instance).ok());
        let mut others: Vec<_> = self.running.iter().cloned().chain(units).collect();
        others.sort();
        others.dedup();
        others.retain(|name| !sections.contains(name));
        sections.extend(others);
        sections
    }

    fn unit(&self, name: &SectionName) -> Option<&Unit> {
        self.units.as_ref()?.get(&name.unit())
    }

    fn instance(&self, name: &SectionName) -> Option<Instance> {
        let bus = self.bus.as_ref().ok().filter(|_| self.running.contains(name))?;
        bus.instance(name).ok()
    }

    /// Whether clients are answered: by a server, or by the one that they will start.
    fn is_served(&self, name: &SectionName) -> bool {
        match (self.instance(name), self.unit(name)) {
            (Some(instance), _) => instance.state != "holding",
            (None, Some(unit)) if unit.is_up() => true,
            (None, _) => self.waits_for_clients(name),
        }
    }

    /// Whether the section is started on demand, and all its sockets listen.
    fn waits_for_clients(&self, name: &SectionName) -> bool {
        let Some(units) = &self.units else { return false };
        if !self.loaded.has(name) {
            return false;
        }
        let section = ServerSection::read(&self.loaded.tree, name);
        let listening = |unit: String| units.get(&unit).is_some_and(Unit::is_up);
        section.start == Start::OnDemand
            && !section.listeners.is_empty()
            && section.listeners.iter().all(|listener| listening(listener.unit(name)))
    }

    fn row(&self, name: &SectionName, table: &mut Table) {
        let unit = self.unit(name);
        let instance = self.instance(name);
        let shown = instance.as_ref();
        let state = match (shown, self.running.contains(name)) {
            (Some(instance), _) => instance.state.clone(),
            (None, true) => "no answer".to_owned(),
            (None, false) => NONE.to_owned(),
        };
        let cells = [
            name.section(),
            self.unit_cell(name, unit),
            state,
            self.up(unit, shown),
            shown.map_or(NONE.to_owned(), |instance| instance.workers.to_string()),
            shown.and_then(|_| self.requests(name)).map_or(NONE.to_owned(), |n| n.to_string()),
            shown.map_or(NONE.to_owned(), |instance| instance.listeners.join(" ")),
        ];
        table.line_with(cells, self.remark(name, unit));
    }

    fn unit_cell(&self, name: &SectionName, unit: Option<&Unit>) -> String {
        match unit {
            Some(unit) if unit.active != "inactive" => format!("{} ({})", unit.active, unit.sub),
            _ if self.waits_for_clients(name) => "listening".to_owned(),
            _ if self.units.is_some() => "inactive".to_owned(),
            _ => NONE.to_owned(),
        }
    }

    fn up(&self, unit: Option<&Unit>, instance: Option<&Instance>) -> String {
        let since = match (instance, unit, &self.bus) {
            (Some(instance), _, _) => instance.start_time,
            (None, Some(unit), Ok(bus)) if unit.is_up() => unit.since(bus) / 1_000_000,
            _ => return NONE.to_owned(),
        };
        span(self.now.saturating_sub(since))
    }

    /// Or what comes nearest to requests.
    fn requests(&self, name: &SectionName) -> Option<u64> {
        let counter = match name.kind {
            Kind::Tcp => "connection_count",
            Kind::Udp => "datagram_count",
            Kind::Wsgi | Kind::Gateway | Kind::Daemons => "request_count",
        };
        let totals = self.bus.as_ref().ok()?.totals(name).ok()?;
        totals.get(counter).copied()
    }

    /// What stands below the line: the server's own words, and what the line does not say.
    fn remark(&self, name: &SectionName, unit: Option<&Unit>) -> String {
        let mut remarks = Vec::new();
        if !self.loaded.has(name) {
            remarks.push("this section is not in the configuration".to_owned());
        }
        if let (Some(unit), Ok(bus)) = (unit, &self.bus) {
            remarks.push(unit.status_text(bus));
        }
        remarks.retain(|remark| !remark.is_empty());
        remarks.join("; ")
    }
}

/// A time span in its two largest units.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}min {}s", seconds % 60),
        3600..86400 => format!("{hours}h {}min", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_two_largest_units() {
        assert_eq!(span(0), "0s");
        assert_eq!(span(61), "1min 1s");
        assert_eq!(span(7_320), "2h 2min");
        assert_eq!(span(90_000), "1d 1h");
    }
}
