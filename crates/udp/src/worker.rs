use std::rc::Rc;
use std::sync::Arc;

use brim_service::WorkerContext;
use brim_stats::Counter;

use crate::app::AppContext;
use crate::plan::UdpPlan;
use crate::registry::BuiltApp;

/// The counter of datagrams that came.
pub(crate) const DATAGRAMS: &str = "datagram_count";
/// The counter of those that were longer than `max_datagram_size`.
pub(crate) const TOO_LONG: &str = "truncated_count";

/// A worker's state.
pub(crate) struct UdpWorker {
    pub(crate) context: WorkerContext,
    pub(crate) app: Rc<dyn BuiltApp>,
    pub(crate) max_datagram_size: usize,
    pub(crate) receive_buffer: usize,
    pub(crate) datagrams: Counter,
    pub(crate) too_long: Counter,
}

impl UdpWorker {
    /// `previous`: the state until a reload.
    pub(crate) fn new(
        plan: &Arc<UdpPlan>,
        context: WorkerContext,
        previous: Option<&Self>,
    ) -> Self {
        let (section, app) = (&plan.section, AppContext::new(&context));
        let previous = previous.map(|previous| &*previous.app);
        Self {
            app: plan.app.build(&app, section.concurrent_per_worker, previous),
            max_datagram_size: section.max_datagram_size,
            receive_buffer: section.receive_buffer,
            datagrams: context.stats.counter(DATAGRAMS),
            too_long: context.stats.counter(TOO_LONG),
            context,
        }
    }
}
