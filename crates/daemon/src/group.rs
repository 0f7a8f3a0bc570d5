//! `brim@daemons`: a group of daemons. What they are is checked here, what becomes of them is shown.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use brim_config::{
    Cause, DAEMON_STATS, DaemonSection, DaemonsSection, Kind, Problem, Reader, SectionName,
    StatType, Tree, Work, has_errors, no_section,
};
use brim_service::{
    AccessOutput, Bulletin, Connection, Current, Program, Refused, Settings, Stream, WorkerContext,
};
use brim_stats::{Counter, Layout, RollUp, Stat, WorkerStats};

use crate::registry::Registry;

mod collect;
mod figures;
mod systemd;
mod watch;

use figures::Figures;

/// What the group counts for itself.
const OWN_STATS: [&str; 4] =
    ["report_count", "bad_report_count", "unknown_stat_count", "stray_report_count"];

/// The program: groups, with these daemons built in.
pub(crate) struct Group {
    registry: Registry,
}

/// A group that can be governed.
pub(crate) struct GroupPlan {
    daemons: Vec<Planned>,
    /// Those of all groups.
    listed: Vec<String>,
    /// Where they report.
    socket: PathBuf,
    settings: Settings,
}

/// One of its daemons.
struct Planned {
    name: String,
    scheduled: bool,
    stats: Vec<(String, StatType)>,
}

/// What the one worker has.
pub(crate) struct GroupWorker {
    /// By name.
    daemons: BTreeMap<String, Figures>,
    listed: Vec<String>,
    socket: PathBuf,
    reports: Counter,
    bad_reports: Counter,
    unknown_stats: Counter,
    stray_reports: Counter,
    bulletin: Bulletin,
}

impl Group {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// Reads the section of a daemon, with the keys of what is built in.
    fn daemon(&self, tree: &Tree, name: &str) -> (Planned, Vec<Problem>) {
        let mut reader = Reader::new(tree, name);
        let section = DaemonSection::take(tree, &mut reader);
        let mut stats = section.stats.clone();
        let mut known = true;
        if let Some(Work::Call(call)) = &section.work {
            let configured = self.registry.configure(name, call, &mut reader);
            known = configured.is_some();
            let own = configured.map(|configured| configured.stats()).unwrap_or_default();
            for Stat { name, roll_up } in own {
                let stat_type = match roll_up {
                    RollUp::Worker | RollUp::Sum => StatType::Sum,
                    RollUp::Min => StatType::Min,
                    RollUp::Max => StatType::Max,
                };
                stats.retain(|(declared, _)| *declared != name);
                stats.push((name, stat_type));
            }
        }
        known &= section.work.is_some();
        // What an unknown daemon would have asked for is not known either.
        let mut problems = reader.finish();
        problems.retain(|problem| known || !matches!(problem.cause, Cause::UnknownKey { .. }));
        let scheduled = !section.schedule.is_empty();
        (Planned { name: name.to_owned(), scheduled, stats }, problems)
    }
}

fn layout(daemons: &[Planned]) -> Layout {
    let own = OWN_STATS.iter().map(|name| Stat::sum(*name));
    let of_daemons = daemons.iter().flat_map(|daemon| {
        let always = DAEMON_STATS.iter().map(|name| (*name, RollUp::Max));
        let declared = daemon.stats.iter().map(|(name, stat_type)| match stat_type {
            StatType::Sum => (name.as_str(), RollUp::Sum),
            StatType::Min => (name.as_str(), RollUp::Min),
            StatType::Max => (name.as_str(), RollUp::Max),
        });
        let all = always.chain(declared);
        all.map(|(name, roll_up)| Stat::new(format!("{}.{name}", daemon.name), roll_up))
    });
    // Each name is there once.
    brim_service::layout(own.chain(of_daemons)).0
}

impl Program for Group {
    const NAME: &'static str = "brim-daemon";
    const KIND: Kind = Kind::Daemons;

    type Plan = GroupPlan;
    type Worker = GroupWorker;

    fn plan(&self, tree: &Tree, name: &SectionName) -> (Option<GroupPlan>, Vec<Problem>) {
        if tree.section(&name.section()).is_none() {
            return (None, vec![no_section(tree, name)]);
        }
        let (section, mut problems) = DaemonsSection::read(tree, name);
        let mut daemons = Vec::new();
        for name in &section.daemons {
            let (daemon, of_daemon) = self.daemon(tree, name);
            daemons.push(daemon);
            problems.extend(of_daemon);
        }
        let groups = tree.instances().filter(|name| name.kind == Kind::Daemons);
        let listed = groups.flat_map(|name| DaemonsSection::read(tree, &name).0.daemons).collect();
        let mut settings = Settings::new(&section.server, layout(&daemons), 0, AccessOutput::Off);
        let socket = section.stats_socket();
        settings.daemons = section.daemons;
        let plan = GroupPlan { daemons, listed, socket, settings };
        ((!has_errors(&problems)).then_some(plan), problems)
    }

    fn settings(plan: &GroupPlan) -> &Settings {
        &plan.settings
    }

    fn worker(
        plan: &Arc<GroupPlan>,
        context: WorkerContext,
        _previous: Option<&GroupWorker>,
    ) -> GroupWorker {
        GroupWorker::new(plan, &context)
    }

    async fn serve(_: Current<GroupWorker>, connection: Connection) {
        // It listens for datagrams alone.
        drop(connection);
    }

    async fn background(current: Current<GroupWorker>, context: WorkerContext) {
        let lifecycle = context.lifecycle.clone();
        tokio::select! {
            () = watch::watch(current.clone()) => {}
            () = collect::collect(current) => {}
            () = lifecycle.drain_begins() => {}
        }
    }

    async fn refuse(_: Current<GroupWorker>, refused: Refused) {
        drop(refused);
    }

    async fn turn_away(stream: Stream) {
        drop(stream);
    }
}

impl GroupWorker {
    fn new(plan: &GroupPlan, context: &WorkerContext) -> Self {
        let stats = &context.stats;
        let figures = |daemon: &Planned| figures(daemon, stats);
        let daemons = plan.daemons.iter().map(|daemon| (daemon.name.clone(), figures(daemon)));
        Self {
            daemons: daemons.collect(),
            listed: plan.listed.clone(),
            socket: plan.socket.clone(),
            reports: stats.counter("report_count"),
            bad_reports: stats.counter("bad_report_count"),
            unknown_stats: stats.counter("unknown_stat_count"),
            stray_reports: stats.counter("stray_report_count"),
            bulletin: context.bulletin.clone(),
        }
    }
}

fn figures(daemon: &Planned, stats: &WorkerStats) -> Figures {
    let counter = |name: &str| stats.counter(&format!("{}.{name}", daemon.name));
    let declared = daemon.stats.iter();
    let declared = declared.map(|(name, stat_type)| (name.clone(), (*stat_type, counter(name))));
    Figures {
        scheduled: daemon.scheduled,
        start_time: counter("start_time"),
        starts: counter("starts"),
        last_exit: counter("last_exit"),
        declared: declared.collect(),
    }
}
