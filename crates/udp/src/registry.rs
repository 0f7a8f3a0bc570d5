use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use brim_config::Reader;
use brim_service::Apps;
use brim_stats::Stat;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::app::{App, AppContext, Datagram};
use crate::apps::{Echo, Forward};
use crate::batch::Batch;
use crate::socket::Socket;

/// The apps that `call =` can name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    pub(crate) apps: Apps<Configure>,
}

/// Reads an app's keys.
pub(crate) type Configure = fn(&mut Reader<'_>) -> Box<dyn ConfiguredApp>;

impl Registry {
    /// The apps that come with Brim, by their short and their older names.
    pub fn builtin() -> Self {
        Self::default()
            .with_batches::<Echo>("echo")
            .with_batches::<Echo>("brim.udp_echo.UDPEcho")
            .with_batches::<Forward>("forward")
    }

    /// Adds an app, or puts it in the place of the one that has this name.
    #[must_use]
    pub fn with<A: App>(mut self, name: &'static str) -> Self {
        self.apps.insert(name, |reader| Box::new(One::<A>(Arc::new(A::parse_conf(reader)))));
        self
    }

    fn with_batches<A: BatchApp>(mut self, name: &'static str) -> Self {
        self.apps.insert(name, |reader| Box::new(Many::<A>(Arc::new(A::parse_conf(reader)))));
        self
    }
}

/// An app whose section was read: shared by the workers.
pub(crate) trait ConfiguredApp: Send + Sync {
    fn stats(&self) -> Vec<Stat>;
    /// `limit`: datagrams that are served at the same time. `previous`: the app until a reload.
    fn build(
        &self,
        context: &AppContext,
        limit: usize,
        previous: Option<&dyn BuiltApp>,
    ) -> Rc<dyn BuiltApp>;
}

/// An app of one worker.
pub(crate) trait BuiltApp: Any {
    /// Serves what came at once; when this is done, more is received.
    fn serve<'a>(&'a self, socket: &'a Rc<Socket>, batch: &'a Batch) -> Work<'a>;

    /// Waits for what is still to be sent when nothing more is received.
    fn finish(&self) -> Work<'_>;
}

pub(crate) type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// As [`App`], of what came at once.
pub(crate) trait BatchApp: Sized + 'static {
    type Conf: Send + Sync + 'static;

    fn parse_conf(section: &mut Reader<'_>) -> Self::Conf;
    fn stats_conf(conf: &Self::Conf) -> Vec<Stat>;
    fn new(conf: Arc<Self::Conf>, context: &AppContext, previous: Option<&Self>) -> Self;
    fn serve(&self, socket: &Rc<Socket>, batch: &Batch) -> impl Future<Output = ()>;
    fn finish(&self) -> impl Future<Output = ()>;
}

struct Many<A: BatchApp>(Arc<A::Conf>);

impl<A: BatchApp> ConfiguredApp for Many<A> {
    fn stats(&self) -> Vec<Stat> {
        A::stats_conf(&self.0)
    }

    fn build(
        &self,
        context: &AppContext,
        _: usize,
        previous: Option<&dyn BuiltApp>,
    ) -> Rc<dyn BuiltApp> {
        // It may be another app's.
        let previous = previous.and_then(|app| (app as &dyn Any).downcast_ref::<BuiltMany<A>>());
        Rc::new(BuiltMany(A::new(self.0.clone(), context, previous.map(|BuiltMany(app)| app))))
    }
}

struct BuiltMany<A>(A);

impl<A: BatchApp> BuiltApp for BuiltMany<A> {
    fn serve<'a>(&'a self, socket: &'a Rc<Socket>, batch: &'a Batch) -> Work<'a> {
        Box::pin(self.0.serve(socket, batch))
    }

    fn finish(&self) -> Work<'_> {
        Box::pin(self.0.finish())
    }
}

struct One<A: App>(Arc<A::Conf>);

impl<A: App> ConfiguredApp for One<A> {
    fn stats(&self) -> Vec<Stat> {
        A::stats_conf(&self.0)
    }

    fn build(
        &self,
        context: &AppContext,
        limit: usize,
        _: Option<&dyn BuiltApp>,
    ) -> Rc<dyn BuiltApp> {
        let app = Rc::new(A::new(self.0.clone(), context));
        Rc::new(BuiltOne { app, room: Rc::new(Room::new(limit)) })
    }
}

struct BuiltOne<A> {
    app: Rc<A>,
    room: Rc<Room>,
}

impl<A: App> BuiltApp for BuiltOne<A> {
    fn serve<'a>(&'a self, socket: &'a Rc<Socket>, batch: &'a Batch) -> Work<'a> {
        Box::pin(async move {
            for came in &batch.came {
                let bytes = Bytes::copy_from_slice(batch.bytes(came));
                let from = came.from.clone();
                let datagram = Datagram { bytes, from, socket: socket.clone() };
                let (app, place) = (self.app.clone(), self.room.enter().await);
                tokio::task::spawn_local(async move {
                    app.serve(datagram).await;
                    drop(place);
                });
            }
        })
    }

    fn finish(&self) -> Work<'_> {
        Box::pin(async {
            while self.room.taken.get() > 0 {
                self.room.left.notified().await;
            }
        })
    }
}

/// How many datagrams are being served.
struct Room {
    limit: usize,
    taken: Cell<usize>,
    left: Notify,
}

/// One of them.
struct Place(Rc<Room>);

impl Room {
    fn new(limit: usize) -> Self {
        Self { limit, taken: Cell::new(0), left: Notify::new() }
    }

    async fn enter(self: &Rc<Self>) -> Place {
        while self.taken.get() >= self.limit {
            self.left.notified().await;
        }
        self.taken.set(self.taken.get() + 1);
        Place(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
        self.0.left.notify_one();
    }
}
