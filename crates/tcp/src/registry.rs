use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use brim_config::Reader;
use brim_service::Apps;
use brim_stats::Stat;

use crate::app::{App, AppContext};
use crate::apps::{Echo, Exec, Forward};
use crate::connection::Connection;

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
            .with::<Echo>("echo")
            .with::<Echo>("brim.tcp_echo.TCPEcho")
            .with::<Exec>("exec")
            .with::<Forward>("forward")
    }

    /// Adds an app, or puts it in the place of the one that has this name.
    #[must_use]
    pub fn with<A: App>(mut self, name: &'static str) -> Self {
        self.apps.insert(name, configure::<A>);
        self
    }
}

fn configure<A: App>(section: &mut Reader<'_>) -> Box<dyn ConfiguredApp> {
    Box::new(Configured::<A>(Arc::new(A::parse_conf(section))))
}

/// An app whose section was read: shared by the workers.
pub(crate) trait ConfiguredApp: Send + Sync {
    fn stats(&self) -> Vec<Stat>;
    fn build(&self, context: &AppContext) -> Rc<dyn BuiltApp>;
}

/// An app of one worker.
pub(crate) trait BuiltApp {
    fn serve(self: Rc<Self>, connection: Connection) -> Work;
}

/// What an app does with a connection, and what it leaves of it.
pub(crate) type Work = Pin<Box<dyn Future<Output = (io::Result<()>, Connection)>>>;

struct Configured<A: App>(Arc<A::Conf>);

impl<A: App> ConfiguredApp for Configured<A> {
    fn stats(&self) -> Vec<Stat> {
        A::stats_conf(&self.0)
    }

    fn build(&self, context: &AppContext) -> Rc<dyn BuiltApp> {
        Rc::new(Built(A::new(self.0.clone(), context)))
    }
}

struct Built<A>(A);

impl<A: App> BuiltApp for Built<A> {
    fn serve(self: Rc<Self>, mut connection: Connection) -> Work {
        Box::pin(async move {
            let result = self.0.serve(&mut connection).await;
            (result, connection)
        })
    }
}
