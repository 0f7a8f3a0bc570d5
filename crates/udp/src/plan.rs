//! The section and its app, read and checked as a whole before anything is served.

use std::future::Future;
use std::sync::Arc;

use brim_config::{Kind, Problem, SectionName, Tree, UdpSection, has_errors, no_section};
use brim_service::{
    AccessOutput, Connection, Current, DatagramSocket, Program, Refused, Settings, Stream,
    WorkerContext,
};
use brim_stats::Stat;

use crate::receiver;
use crate::registry::{ConfiguredApp, Registry};
use crate::worker::{DATAGRAMS, TOO_LONG, UdpWorker};

/// The program: UDP with these apps.
pub(crate) struct Udp {
    registry: Registry,
}

/// A section that can be served.
pub(crate) struct UdpPlan {
    pub(crate) section: UdpSection,
    pub(crate) app: Box<dyn ConfiguredApp>,
    settings: Settings,
}

impl Udp {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry }
    }
}

impl Program for Udp {
    const NAME: &'static str = "brim-udp";
    const KIND: Kind = Kind::Udp;

    type Plan = UdpPlan;
    type Worker = UdpWorker;

    fn plan(&self, tree: &Tree, name: &SectionName) -> (Option<UdpPlan>, Vec<Problem>) {
        if tree.section(&name.section()).is_none() {
            return (None, vec![no_section(tree, name)]);
        }
        let ((section, app), mut problems) = UdpSection::read(tree, name, |section, reader| {
            let app = self.registry.apps.called(section.call.as_deref(), reader)?;
            Some(app(reader))
        });
        let Some(app) = app else { return (None, problems) };
        let refuse = |key, why| section.server.refuse(tree, key, why);
        let own = [DATAGRAMS, TOO_LONG].map(Stat::sum).into_iter();
        let (layout, conflicts) = brim_service::layout(own.chain(app.stats()));
        problems.extend(conflicts.iter().map(|conflict| refuse("call", conflict.to_string())));
        let settings = Settings::new(&section.server, layout, 0, AccessOutput::Off);
        let plan = UdpPlan { section, app, settings };
        ((!has_errors(&problems)).then_some(plan), problems)
    }

    fn settings(plan: &UdpPlan) -> &Settings {
        &plan.settings
    }

    fn worker(
        plan: &Arc<UdpPlan>,
        context: WorkerContext,
        previous: Option<&UdpWorker>,
    ) -> UdpWorker {
        UdpWorker::new(plan, context, previous)
    }

    fn datagrams(
        current: Current<UdpWorker>,
        socket: DatagramSocket,
    ) -> impl Future<Output = ()> + 'static {
        receiver::serve(current, socket)
    }

    /// There are no connections.
    fn serve(_: Current<UdpWorker>, connection: Connection) -> impl Future<Output = ()> + 'static {
        drop(connection);
        std::future::ready(())
    }

    fn refuse(_: Current<UdpWorker>, refused: Refused) -> impl Future<Output = ()> + 'static {
        drop(refused);
        std::future::ready(())
    }

    fn turn_away(stream: Stream) -> impl Future<Output = ()> + 'static {
        drop(stream);
        std::future::ready(())
    }
}
