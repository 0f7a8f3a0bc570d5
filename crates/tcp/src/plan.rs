//! The section and its app, read and checked as a whole before anything is served.

use std::future::Future;
use std::sync::Arc;

use brim_config::{Kind, Problem, SectionName, TcpSection, Tree, has_errors, no_section};
use brim_service::tls::TlsPlan;
use brim_service::{
    AccessOutput, Connection, Current, Program, Refused, Settings, Stream, WorkerContext,
};
use brim_stats::Stat;

use crate::registry::{ConfiguredApp, Registry};
use crate::shell;
use crate::worker::{FAILED, SILENT, TcpWorker};

/// An allowance for what is kept of a connection, in bytes: two tasks' worth of state, and for each direction
/// what was read and cannot be written.
const KEPT: u64 = 4096 + 2 * 64 * 1024;

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
        let refuse = |key, why| section.server.refuse(tree, key, why);
        let own = ["connection_count", SILENT, FAILED].map(Stat::sum).into_iter();
        let stats = own.chain(TlsPlan::stats(&section.tls)).chain(app.stats());
        let (layout, conflicts) = brim_service::layout(stats);
        problems.extend(conflicts.iter().map(|conflict| refuse("call", conflict.to_string())));
        let (tls, of_tls) = TlsPlan::read(tree, &section.server, &section.tls, &[]);
        problems.extend(of_tls);
        let memory = KEPT + TlsPlan::memory(&section.tls);
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
