use std::rc::Rc;
use std::sync::Arc;

use brim_config::Reader;
use brim_stats::{Counter, Stat};

use crate::app::AppContext;
use crate::batch::Batch;
use crate::registry::BatchApp;
use crate::socket::Socket;

/// Sends back whatever comes.
pub(crate) struct Echo {
    bytes: Counter,
    /// Datagrams that could not be sent.
    unsent: Counter,
}

impl BatchApp for Echo {
    type Conf = ();

    fn parse_conf(_: &mut Reader<'_>) {}

    fn stats_conf((): &()) -> Vec<Stat> {
        ["byte_count", "send_failed_count"].map(Stat::sum).into()
    }

    fn new(_: Arc<()>, context: &AppContext, _: Option<&Self>) -> Self {
        Self { bytes: context.counter("byte_count"), unsent: context.counter("send_failed_count") }
    }

    async fn serve(&self, socket: &Rc<Socket>, batch: &Batch) {
        self.bytes.add(batch.came.iter().map(|came| came.length as u64).sum());
        self.unsent.add(socket.send_back(batch).await as u64);
    }

    async fn finish(&self) {}
}
