use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use brim_config::{Address, Reader};
use brim_stats::Stat;
use bytes::Bytes;

use crate::socket::{From, Peer, Socket};

pub use brim_service::AppContext;

/// A UDP app: what `call =` of a `[udp]` section names.
///
/// Its life: [`App::parse_conf`] reads the section, once per process and before anything is
/// disturbed; [`App::stats_conf`] names its counters; [`App::new`] makes one per worker; from then
/// on [`App::serve`] has each datagram of that worker's sockets. All that a worker's app does happens on
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

    /// Serves one datagram. Where it has to wait, others are served meanwhile, as many as
    /// `concurrent_per_worker` says.
    fn serve(&self, datagram: Datagram) -> impl Future<Output = ()>;
}

/// A datagram that came.
#[derive(Debug)]
pub struct Datagram {
    /// What it says; may be empty.
    pub bytes: Bytes,
    pub(crate) from: From,
    pub(crate) socket: Rc<Socket>,
}

impl Datagram {
    /// Who has sent it.
    pub fn peer(&self) -> &Peer {
        &self.from.peer
    }

    /// The listener that it came to.
    pub fn local(&self) -> &Address {
        self.socket.local()
    }

    /// Sends something to whoever has sent it, from the address that was asked.
    ///
    /// # Errors
    ///
    /// What the kernel says. That it was sent does not mean that it arrives.
    pub async fn reply(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes, &self.from).await
    }
}
