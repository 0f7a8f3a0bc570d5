//! The daemons of groups, a line each below that of their group.

use brim_config::{DaemonSection, DaemonsSection, Kind, SectionName, daemon_unit};

use super::{NONE, View, span};
use crate::output::Table;
use crate::systemd::{Unit, Units};

impl View<'_> {
    /// The daemons of a group, as the configuration has them.
    pub(super) fn daemons(&self, group: &SectionName) -> Vec<DaemonSection> {
        let tree = &self.loaded.tree;
        if group.kind != Kind::Daemons || !self.loaded.has(group) {
            return Vec::new();
        }
        let (group, _) = DaemonsSection::read(tree, group);
        group.daemons.iter().map(|name| DaemonSection::read(tree, name).0).collect()
    }

    /// Whether a daemon runs, or will at its time.
    pub(super) fn daemon_runs(&self, daemon: &DaemonSection) -> bool {
        let Some(units) = &self.units else { return false };
        let failed = units.get(&daemon.unit()).is_some_and(|unit| unit.active == "failed");
        !failed && units.get(&daemon.wanted_unit()).is_some_and(Unit::is_up)
    }

    pub(super) fn daemon_row(&self, daemon: &DaemonSection, table: &mut Table) {
        let mut remarks = Vec::new();
        if !daemon.schedule.is_empty() {
            remarks.extend(self.next_run(daemon));
        }
        self.line(&daemon.name, remarks, table);
    }

    /// The daemons that run although no group lists them any more.
    pub(super) fn left_over(&self, table: &mut Table) {
        let tree = &self.loaded.tree;
        let mut names: Vec<_> = self
            .units
            .iter()
            .flat_map(Units::daemons)
            .filter(|(_, unit)| unit.active != "inactive")
            .map(|(name, _)| name.to_owned())
            .filter(|name| DaemonsSection::of_daemon(tree, name).is_none())
            .collect();
        names.sort();
        for name in names {
            let remark = format!("no group lists it; to end it: systemctl stop brim-daemon@{name}");
            self.line(&name, vec![remark], table);
        }
    }

    fn line(&self, name: &str, mut remarks: Vec<String>, table: &mut Table) {
        let unit = self.units.as_ref().and_then(|units| units.get(&daemon_unit(name)));
        let state = match (unit, &self.units) {
            (Some(unit), _) if unit.active != "inactive" => {
                format!("{} ({})", unit.active, unit.sub)
            }
            (_, Some(_)) => "inactive".to_owned(),
            (_, None) => NONE.to_owned(),
        };
        let none = || NONE.to_owned();
        let cells = [name.to_owned(), state, none(), self.up(unit, None), none(), none(), none()];
        if let (Some(unit), Ok(bus)) = (unit, &self.bus) {
            remarks.push(unit.status_text(bus));
        }
        remarks.retain(|remark| !remark.is_empty());
        table.line_with(cells, remarks.join("; "));
    }

    fn next_run(&self, daemon: &DaemonSection) -> Option<String> {
        let timer = self.units.as_ref().and_then(|units| units.get(&daemon.wanted_unit()));
        match (timer, &self.bus) {
            (Some(timer), Ok(bus)) if timer.is_up() => match timer.next(bus) / 1_000_000 {
                // It runs now, or the last of its times has been.
                0 => None,
                next => Some(format!("next run in {}", span(next.saturating_sub(self.now)))),
            },
            _ => Some("its timer is not up".to_owned()),
        }
    }
}
