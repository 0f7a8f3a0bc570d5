//! The section and its handlers, read and checked as a whole before anything is served.

use std::future::Future;
use std::sync::Arc;

use brim_config::{
    GatewaySection, Kind, Problem, SectionName, Severity, Tree, has_errors, no_section,
};
use brim_service::{
    AccessOutput, Connection, Current, Program, Refused, Settings, Stream, WorkerContext,
};

use crate::connection;
use crate::core::counters;
use crate::worker::GatewayWorker;

/// The program.
pub(crate) struct Gateway;

/// A section that can be served.
pub(crate) struct GatewayPlan {
    pub(crate) section: GatewaySection,
    settings: Settings,
}

impl Program for Gateway {
    const NAME: &'static str = "brim-gateway";
    const KIND: Kind = Kind::Gateway;
    type Plan = GatewayPlan;
    type Worker = GatewayWorker;

    fn plan(&self, tree: &Tree, name: &SectionName) -> (Option<GatewayPlan>, Vec<Problem>) {
        if tree.section(&name.section()).is_none() {
            return (None, vec![no_section(tree, name)]);
        }
        let (section, mut problems) = GatewaySection::read(tree, name);
        problems.extend(stores(tree, &section));
        let names = section.handlers.iter().map(|handler| handler.name.as_str());
        let layout = counters::layout(names);
        let connections = section.server.concurrent_per_worker.max(1) as u64;
        let memory = (section.max_memory as u64).div_ceil(connections);
        let settings = Settings::new(&section.server, layout, memory, AccessOutput::Off);
        let plan = GatewayPlan { section, settings };
        ((!has_errors(&problems)).then_some(plan), problems)
    }

    fn settings(plan: &GatewayPlan) -> &Settings {
        &plan.settings
    }

    fn worker(
        plan: &Arc<GatewayPlan>,
        context: WorkerContext,
        previous: Option<&GatewayWorker>,
    ) -> GatewayWorker {
        GatewayWorker::new(plan, context, previous)
    }

    fn begin(current: &Current<GatewayWorker>) {
        current.get().begin();
    }

    fn serve(
        current: Current<GatewayWorker>,
        connection: Connection,
    ) -> impl Future<Output = ()> + 'static {
        connection::serve(current, connection)
    }

    async fn refuse(_: Current<GatewayWorker>, _: Refused) {}

    async fn turn_away(_: Stream) {}
}

/// Folders for uploads that are not there.
fn stores(tree: &Tree, section: &GatewaySection) -> Vec<Problem> {
    let missing = section
        .handlers
        .iter()
        .filter(|handler| handler.upload_store.as_ref().is_some_and(|store| !store.is_dir()));
    missing
        .map(|handler| {
            let why = "there is no such folder, and so no uploads; make it, with brim as its owner";
            let mut reader = brim_config::Reader::new(tree, &handler.name);
            let _ = reader.get::<String>("upload_store");
            reader.warn("upload_store", why);
            reader.finish()
        })
        .flat_map(|problems| problems.into_iter().filter(|one| one.severity == Severity::Warning))
        .collect()
}
