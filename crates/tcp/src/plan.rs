//! The section and its app, read and checked as a whole before anything is served.

use std::future::Future;
use std::sync::Arc;

use brim_config::{Kind, Problem, SectionName, TcpSection, Tree, has_errors, no_section};
use brim_service::proxy_protocol::BAD_PROXY_HEADERS;
use brim_service::tls::{FAILED_HANDSHAKES, TlsPlan};
use brim_service::{
    AccessOutput, Connection, Current, Program, Refused, Settings, Stream, WorkerContext,
};
use brim_stats::{Layout, RollUp, Stat};

use crate::registry::{ConfiguredApp, Registry};
use crate::shell;
use crate::worker::{FAILED, SILENT, TcpWorker};

/// An allowance for what is kept of a connection, in bytes: two tasks' worth of state, and for each direction
/// what was read and cannot be written.
const KEPT: u64 = 4096 + 2 * 64 * 1024;

/// What rustls holds of a connection at most: a record that has not come whole, one that nobody has read,
/// what the client does not take, and its own state; in bytes.
const TLS_KEPT: u64 = (2 * 18 + 64 + 16) * 1024;

/// The program: TCP with these apps.
pub(crate) struct Tcp {
    registry: Registry,
}

/// A section that can be served.
pub(crate) struct TcpPlan {
    pub(crate) section: TcpSection,
    pub(crate) app: Box<dyn ConfiguredApp>,
    pub(crate) tls: Option<TlsPlan>,
    settings: Settings,
}

impl Tcp {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry }
    }
}

fn layout(
    tree: &Tree,
    section: &TcpSection,
    app: &dyn ConfiguredApp,
    problems: &mut Vec<Problem>,
) -> Layout {
    let mut layout = Layout::default();
    let own = [Stat::new("start_time", RollUp::Worker)]
        .into_iter()
        .chain(["connection_count", SILENT, FAILED, "log_dropped_count"].map(Stat::sum));
    let of_tls = section.tls.is_on().then(|| Stat::sum(FAILED_HANDSHAKES));
    let of_proxies = section.tls.proxy_protocol.then(|| Stat::sum(BAD_PROXY_HEADERS));
    for stat in own.chain(of_tls).chain(of_proxies).chain(app.stats()) {
        if let Err(conflict) = layout.declare(stat) {
            problems.push(section.server.refuse(tree, "call", conflict.to_string()));
        }
    }
    layout
}

impl Program for Tcp {
    const NAME: &'static str = "brim-tcp";
    const KIND: Kind = Kind::Tcp;

    type Plan = TcpPlan;
    type Worker = TcpWorker;

    fn plan(&self, tree: &Tree, name: &SectionName) -> (Option<TcpPlan>, Vec<Problem>) {
        if tree.section(&name.section()).is_none() {
            return (None, vec![no_section(tree, name)]);
        }
        let ((section, app), mut problems) = TcpSection::read(tree, name, |section, reader| {
            let app = self.registry.apps.called(section.call.as_deref(), reader)?;
            Some(app(reader))
        });
        let Some(app) = app else { return (None, problems) };
        let layout = layout(tree, &section, &*app, &mut problems);
        let (tls, troubles) = TlsPlan::read(&section.tls, &[]);
        problems.extend(troubles.into_iter().map(|trouble| Problem {
            severity: trouble.severity,
            ..section.server.refuse(tree, trouble.key, trouble.why)
        }));
        let memory = KEPT + if section.tls.is_on() { TLS_KEPT } else { 0 };
        let settings = Settings::new(&section.server, layout, memory, AccessOutput::Off);
        let plan = TcpPlan { section, app, tls, settings };
        ((!has_errors(&problems)).then_some(plan), problems)
    }

    fn settings(plan: &TcpPlan) -> &Settings {
        &plan.settings
    }

    fn worker(plan: &Arc<TcpPlan>, context: WorkerContext, _: Option<&TcpWorker>) -> TcpWorker {
        TcpWorker::new(plan, context)
    }

    fn serve(
        current: Current<TcpWorker>,
        connection: Connection,
    ) -> impl Future<Output = ()> + 'static {
        shell::serve(current, connection)
    }

    /// There is nothing that a client of whatever protocol would understand.
    fn refuse(_: Current<TcpWorker>, refused: Refused) -> impl Future<Output = ()> + 'static {
        drop(refused);
        std::future::ready(())
    }

    fn turn_away(stream: Stream) -> impl Future<Output = ()> + 'static {
        drop(stream);
        std::future::ready(())
    }
}
