//! What the daemons do, as systemd tells it: starts and ends become figures, and the line of the status.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use brim_service::Current;
use futures_util::StreamExt;
use tokio::time::{MissedTickBehavior, interval};
use zbus::zvariant::OwnedValue;
use zbus::{MatchRule, MessageStream, message};

use super::GroupWorker;
use super::figures::Figures;
use super::systemd::{Changed, PROPERTIES, SERVICE, Systemd, UNIT};

/// How soon a lost bus is looked for again.
const RECONNECT: Duration = Duration::from_secs(2);
/// How often all is asked for anew, should a change not have been told.
const ANEW: Duration = Duration::from_secs(5);

/// Follows the units of the daemons, for ever.
pub(super) async fn watch(current: Current<GroupWorker>) {
    let mut units = Units::default();
    units.say(&current.get());
    loop {
        if let Err(error) = follow(&current, &mut units).await {
            tracing::debug!(%error, "systemd does not tell of the daemons");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn follow(current: &Current<GroupWorker>, units: &mut Units) -> zbus::Result<()> {
    let systemd = Systemd::connect().await?;
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender("org.freedesktop.systemd1")?
        .interface(PROPERTIES)?
        .member("PropertiesChanged")?
        .path_namespace("/org/freedesktop/systemd1/unit")?
        .build();
    let mut signals = MessageStream::for_match_rule(rule, &systemd.0, Some(256)).await?;
    systemd.subscribe().await?;
    let mut ticks = interval(ANEW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            signal = signals.next() => {
                let Some(signal) = signal else { return Ok(()) };
                let worker = current.get();
                if units.heard(&worker, &signal?) {
                    units.say(&worker);
                }
            }
            _ = ticks.tick() => {
                let worker = current.get();
                units.refresh(&worker, &systemd).await?;
                units.say(&worker);
            }
        }
    }
}

/// The units of the daemons, by the daemons' names.
#[derive(Default)]
struct Units {
    units: BTreeMap<String, Unit>,
    /// Daemons that run although no group lists them.
    left_over: Vec<String>,
}

/// What is known of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unit {
    active: String,
    sub: String,
    restarts: u32,
    /// When the last start was, in microseconds since 1970.
    started_at: u64,
    /// The last start and end by the clock that never goes back; 0 is none.
    started: u64,
    exited: u64,
    code: i32,
    status: i32,
    /// What has been counted of it.
    counted: Option<Counted>,
}

/// The last start and end that have become figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    started: u64,
    exited: u64,
    restarts: u32,
}

impl Units {
    /// Takes over what a signal tells of a unit of ours.
    fn heard(&mut self, worker: &GroupWorker, signal: &zbus::Message) -> bool {
        let header = signal.header();
        let path = header.path().map(|path| path.as_str());
        let of_path = |daemon: &&String| {
            path == Some(brim_config::unit_object(&brim_config::daemon_unit(daemon)).as_str())
        };
        let Some(daemon) = worker.daemons.keys().find(of_path) else { return false };
        let body = signal.body();
        let Ok((_, changed, _)) = body.deserialize::<(String, Changed, Vec<String>)>() else {
            return false;
        };
        self.learn(worker, daemon, &changed);
        true
    }

    /// Asks for everything.
    async fn refresh(&mut self, worker: &GroupWorker, systemd: &Systemd) -> zbus::Result<()> {
        self.units.retain(|daemon, _| worker.daemons.contains_key(daemon));
        for daemon in worker.daemons.keys() {
            let path = brim_config::unit_object(&brim_config::daemon_unit(daemon));
            let mut all = systemd.properties(&path, UNIT).await?;
            all.extend(systemd.properties(&path, SERVICE).await?);
            self.learn(worker, daemon, &all);
        }
        let running = systemd.running().await?;
        self.left_over =
            running.into_iter().filter(|daemon| !worker.listed.contains(daemon)).collect();
        Ok(())
    }

    fn learn(&mut self, worker: &GroupWorker, daemon: &str, changed: &Changed) {
        let Some(figures) = worker.daemons.get(daemon) else { return };
        let unit = self.units.entry(daemon.to_owned()).or_default();
        unit.learn(changed);
        unit.count(figures);
        worker.bulletin.daemon_state(daemon, &unit.active);
    }

    /// The line for the status of the group.
    fn say(&self, worker: &GroupWorker) {
        let unknown = Unit::default();
        let daemons = worker.daemons.iter();
        let daemons = daemons.map(|(name, figures)| {
            (name.as_str(), figures.scheduled, self.units.get(name).unwrap_or(&unknown))
        });
        worker.bulletin.say(line(daemons, &self.left_over));
    }
}

impl Unit {
    fn learn(&mut self, changed: &HashMap<String, OwnedValue>) {
        let text = |name: &str, to: &mut String| {
            if let Some(value) = changed.get(name).and_then(|value| <&str>::try_from(value).ok()) {
                value.clone_into(to);
            }
        };
        text("ActiveState", &mut self.active);
        text("SubState", &mut self.sub);
        let number = |name: &str| changed.get(name).and_then(|value| i32::try_from(value).ok());
        let time = |name: &str| changed.get(name).and_then(|value| u64::try_from(value).ok());
        let restarts = changed.get("NRestarts").and_then(|value| u32::try_from(value).ok());
        self.restarts = restarts.unwrap_or(self.restarts);
        // A signal that was sent before we asked may come after the answer.
        let started = time("ExecMainStartTimestampMonotonic").unwrap_or_default();
        if started > self.started {
            self.started = started;
            self.started_at = time("ExecMainStartTimestamp").unwrap_or(self.started_at);
        }
        self.exited = self.exited.max(time("ExecMainExitTimestampMonotonic").unwrap_or_default());
        // While it runs, and before, both are 0; the last end is to be remembered.
        if let Some(code) = number("ExecMainCode").filter(|code| *code != 0) {
            self.code = code;
            self.status = number("ExecMainStatus").unwrap_or_default();
        }
    }

    /// Makes figures of starts and ends that are new.
    fn count(&mut self, figures: &Figures) {
        let (started, exited, restarts) = (self.started, self.exited, self.restarts);
        let starts = match self.counted {
            _ if started == 0 => 0,
            Some(counted) if started == counted.started => 0,
            // Between two looks there may have been several.
            Some(counted) => u64::from(restarts.saturating_sub(counted.restarts)).max(1),
            // Counted by an earlier process of ours, or the first that is seen.
            None => u64::from(self.started_at / 1_000_000 != figures.start_time.get()),
        };
        if starts > 0 {
            figures.starts.add(starts);
            figures.start_time.set(self.started_at / 1_000_000);
        }
        let new_end = self.counted.is_none_or(|counted| exited != counted.exited);
        if exited > 0 && new_end && self.code != 0 {
            figures.last_exit.set(self.exit());
        }
        self.counted = Some(Counted { started, exited, restarts });
    }

    /// The last end, as a shell tells it.
    fn exit(&self) -> u64 {
        let status = u64::try_from(self.status).unwrap_or_default();
        // CLD_EXITED of siginfo_t; the others are ends by a signal.
        if self.code == 1 { status } else { 128 + status }
    }

    /// What is worth telling of it in the status; `None` when all is as it should be.
    fn trouble(&self, scheduled: bool) -> Option<String> {
        let ends = || match self.code {
            0 => String::new(),
            _ => format!(", last exit {}", self.exit()),
        };
        match (self.active.as_str(), self.sub.as_str()) {
            ("active" | "reloading", _) => None,
            ("activating", "auto-restart" | "start-pre") if self.restarts > 0 => {
                Some(format!("restarts, {} so far{}", self.restarts, ends()))
            }
            ("activating" | "deactivating", _) => None,
            ("", _) => None,
            ("inactive", _) if scheduled => None,
            ("inactive", _) => Some("stopped".to_owned()),
            (active, _) => Some(format!("{active}{}", ends())),
        }
    }
}

/// "2 of 3 daemons run, 1 has a schedule; x: failed, last exit 1".
fn line<'a>(
    daemons: impl Iterator<Item = (&'a str, bool, &'a Unit)>,
    left_over: &[String],
) -> String {
    let (mut all, mut unknown, mut running, mut scheduled) = (0, 0, 0, 0);
    let mut troubles = Vec::new();
    for (name, has_schedule, unit) in daemons {
        all += 1;
        unknown += usize::from(unit.active.is_empty());
        running += usize::from(matches!(unit.active.as_str(), "active" | "reloading"));
        scheduled += usize::from(has_schedule);
        troubles.extend(unit.trouble(has_schedule).map(|trouble| format!("; {name}: {trouble}")));
    }
    let daemons = match all {
        0 => "no daemons".to_owned(),
        // systemd has told nothing yet.
        _ if unknown == all => format!("daemons: {all}"),
        1 => format!("{running} of 1 daemon runs"),
        _ => format!("{running} of {all} daemons run"),
    };
    let scheduled = match scheduled {
        0 => String::new(),
        1 => ", 1 has a schedule".to_owned(),
        _ => format!(", {scheduled} have schedules"),
    };
    let left_over = left_over.iter().map(|name| {
        format!(
            "; {name}: runs, but no group lists it; to end it: systemctl stop brim-daemon@{name}"
        )
    });
    daemons + &scheduled + &troubles.concat() + &left_over.collect::<String>()
}

#[cfg(test)]
mod tests {
    use brim_stats::{Layout, Registry, RollUp, Stat};

    use super::*;

    fn figures() -> Figures {
        let mut layout = Layout::default();
        for name in ["start_time", "starts", "last_exit"] {
            layout.declare(Stat::new(name, RollUp::Max)).unwrap();
        }
        let stats = Registry::new(layout, 1).worker(0);
        Figures {
            scheduled: false,
            start_time: stats.counter("start_time"),
            starts: stats.counter("starts"),
            last_exit: stats.counter("last_exit"),
            declared: HashMap::new(),
        }
    }

    #[test]
    fn every_start_and_every_end_is_counted_once() {
        let figures = figures();
        let mut unit = Unit { started: 5, started_at: 1_000_000, ..Unit::default() };
        let starts = |unit: &mut Unit| {
            unit.count(&figures);
            figures.starts.get()
        };
        assert_eq!([starts(&mut unit), starts(&mut unit)], [1, 1]);
        unit = Unit { exited: 6, code: 1, status: 3, ..unit };
        assert_eq!((starts(&mut unit), figures.last_exit.get()), (1, 3));
        unit = Unit { started: 7, restarts: 1, ..unit };
        assert_eq!(starts(&mut unit), 2);
        // Two ends and starts that nobody told of, the last by SIGKILL.
        unit = Unit { started: 9, exited: 8, restarts: 3, code: 2, status: 9, ..unit };
        assert_eq!((starts(&mut unit), figures.last_exit.get()), (4, 137));
        // A restart by hand: systemd begins to count anew.
        unit = Unit { started: 11, started_at: 11_000_000, restarts: 0, ..unit };
        assert_eq!((starts(&mut unit), figures.start_time.get()), (5, 11));
        // Another process of ours takes the figures over.
        let mut seen_anew = Unit { counted: None, ..unit };
        assert_eq!(starts(&mut seen_anew), 5);
    }

    #[test]
    fn the_line_names_those_that_are_in_trouble() {
        let unit = |active: &str, sub: &str, restarts| Unit {
            active: active.into(),
            sub: sub.into(),
            restarts,
            exited: 1,
            code: 1,
            status: 7,
            ..Unit::default()
        };
        let (up, down) = (unit("active", "running", 9), unit("inactive", "dead", 0));
        let (loops, failed) = (unit("activating", "auto-restart", 4), unit("failed", "failed", 0));
        let said = |daemons: &[(&'static str, bool, &Unit)]| line(daemons.iter().copied(), &[]);
        assert_eq!(said(&[]), "no daemons");
        assert_eq!(said(&[("a", false, &up)]), "1 of 1 daemon runs");
        assert_eq!(
            said(&[("a", false, &up), ("b", true, &down)]),
            "1 of 2 daemons run, 1 has a schedule"
        );
        assert_eq!(
            said(&[("a", false, &down), ("b", false, &loops), ("c", true, &failed)]),
            "0 of 3 daemons run, 1 has a schedule; a: stopped; \
             b: restarts, 4 so far, last exit 7; c: failed, last exit 7"
        );
        assert!(line([].into_iter(), &["x".into()]).ends_with("systemctl stop brim-daemon@x"));
    }
}
