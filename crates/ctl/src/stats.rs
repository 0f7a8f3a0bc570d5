//! `brimctl stats`: the counters of the servers that run.

use std::collections::BTreeMap;

use brim_config::{Kind, SectionName};
use brim_launch::Exit;
use serde_json::{Map, Value};

use crate::bus::Bus;
use crate::error::Error;
use crate::output::{self, Table};

pub(crate) fn stats(json: bool, named: &[SectionName]) -> Result<Exit, Error> {
    let bus = Bus::connect()?;
    let running = bus.running()?;
    let mut exit = Exit::Success;
    for missing in named.iter().filter(|name| !running.contains(name)) {
        output::complain(&format!("[{missing}] has no server on the bus"));
        exit = Exit::NotRunning;
    }
    if running.is_empty() && named.is_empty() {
        output::complain("no server runs");
        return Ok(Exit::NotRunning);
    }
    let meant: Vec<_> =
        running.into_iter().filter(|name| named.is_empty() || named.contains(name)).collect();
    if json {
        output::print(&document(&bus, &meant)?)?;
    } else {
        output::print(&table(&bus, &meant)?)?;
    }
    Ok(exit)
}

fn table(bus: &Bus, names: &[SectionName]) -> Result<String, Error> {
    let mut table = Table::default();
    for name in names {
        for (counter, value) in bus.totals(name).map_err(Error::Bus)? {
            table.line([name.section(), counter, value.to_string()]);
        }
        for daemon in daemons(bus, name)? {
            for (figure, value) in bus.daemon_totals(&daemon).map_err(Error::Bus)? {
                table.line([daemon.clone(), figure, value.to_string()]);
            }
        }
    }
    Ok(table.text())
}

/// The daemons of a group: they stand in its section like workers, but have names.
fn daemons(bus: &Bus, group: &SectionName) -> Result<Vec<String>, Error> {
    if group.kind != Kind::Daemons {
        return Ok(Vec::new());
    }
    let json = bus.json(group).map_err(Error::Bus)?;
    let document: Map<String, Value> = serde_json::from_str(&json).unwrap_or_default();
    let section = document.get(&group.section()).and_then(Value::as_object);
    let objects = section.into_iter().flatten().filter(|(_, value)| value.is_object());
    let named = objects.filter(|(name, _)| name.parse::<u32>().is_err());
    Ok(named.map(|(name, _)| name.clone()).collect())
}

/// Brim's document: every server's section, and the time at which the first of them started.
fn document(bus: &Bus, names: &[SectionName]) -> Result<String, Error> {
    let mut sections: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut start_time = None;
    for name in names {
        let json = bus.json(name).map_err(Error::Bus)?;
        let document: Map<String, Value> = serde_json::from_str(&json).unwrap_or_default();
        for (key, value) in document {
            match value {
                Value::Object(section) => drop(sections.insert(key, section)),
                value if key == "start_time" => start_time = earlier(start_time, value.as_u64()),
                _ => {}
            }
        }
    }
    Ok(brim_stats::report(start_time.unwrap_or_default(), sections) + "\n")
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
