use std::future::Future;
use std::io;
use std::sync::Arc;

use brim_config::Reader;
use brim_stats::Stat;

use crate::connection::Connection;

pub use brim_service::AppContext;

/// A TCP app: what `call =` of a `[tcp]` section names.
///
/// Its life: [`App::parse_conf`] reads the section, once per process and before anything is
/// disturbed; [`App::stats_conf`] names its counters; [`App::new`] makes one per worker; from then
/// on [`App::serve`] has each connection of that worker. All that a worker's app does happens on
/// that worker's thread, so nothing in it needs a lock, and whatever blocks belongs into
/// [`tokio::task::spawn_blocking`].
pub trait App: Sized + 'static {
    /// What the section says to the app, shared by the workers.
    type Conf: Send + Sync + 'static;

    /// Reads the app's keys, which stand in the section itself. Whatever is wrong with them is told to
    /// the reader ([`Reader::require`], [`Reader::refuse`]); then nothing starts, or the reload is refused.
    /// Keys that nobody asked for are errors.
    fn parse_conf(section: &mut Reader<'_>) -> Self::Conf;

    /// The app's counters.
    fn stats_conf(conf: &Self::Conf) -> Vec<Stat> {
        let _ = conf;
        Vec::new()
    }

    /// Makes the app of one worker.
    fn new(conf: Arc<Self::Conf>, context: &AppContext) -> Self;

    /// Serves one connection; when this returns, what was written is sent and the connection closed.
    ///
    /// # Errors
    ///
    /// Those of the connection, and whatever else made an end of it: the client then sees a reset.
    fn serve(&self, connection: &mut Connection) -> impl Future<Output = io::Result<()>>;
}
