use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use brim_config::Reader;
use brim_stats::Stat;

use crate::builtin::Sample;
use crate::daemon::{Daemon, DaemonContext, Failure};

/// The daemons that `call =` can name.
#[derive(Clone, Default)]
pub struct Registry {
    daemons: BTreeMap<&'static str, Configure>,
}

/// Reads a daemon's section.
type Configure = fn(&str, &mut Reader<'_>) -> Box<dyn Configured>;

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.daemons.keys()).finish()
    }
}

impl Registry {
    /// The daemons that come with Brim, by their short and their older names.
    pub fn builtin() -> Self {
        Self::default().with::<Sample>("sample").with::<Sample>("brim.daemon_sample.DaemonSample")
    }

    /// Adds a daemon, or puts it in the place of the one that has this name.
    #[must_use]
    pub fn with<D: Daemon>(mut self, name: &'static str) -> Self {
        self.daemons.insert(name, configure::<D>);
        self
    }

    /// Reads the keys of the daemon that `call` names. Of a name that is not known a problem is noted,
    /// and its keys are nobody's.
    pub(crate) fn configure(
        &self,
        name: &str,
        call: &str,
        reader: &mut Reader<'_>,
    ) -> Option<Box<dyn Configured>> {
        let Some(configure) = self.daemons.get(call) else {
            let names: Vec<_> = self.daemons.keys().copied().collect();
            let names = names.join(", ");
            reader.refuse("call", format!("no daemon \"{call}\", expected one of {names}"));
            return None;
        };
        Some(configure(name, reader))
    }
}

fn configure<D: Daemon>(name: &str, section: &mut Reader<'_>) -> Box<dyn Configured> {
    Box::new(Conf::<D> { name: name.to_owned(), conf: Arc::new(D::parse_conf(section)) })
}

/// A daemon whose section was read.
pub(crate) trait Configured: Send + Sync {
    fn stats(&self) -> Vec<Stat>;
    /// Makes the daemon and does its work.
    fn run(&self, context: &DaemonContext) -> Pin<Box<dyn Future<Output = Result<(), Failure>>>>;
}

struct Conf<D: Daemon> {
    name: String,
    conf: Arc<D::Conf>,
}

impl<D: Daemon> Configured for Conf<D> {
    fn stats(&self) -> Vec<Stat> {
        D::stats_conf(&self.name, &self.conf)
    }

    fn run(&self, context: &DaemonContext) -> Pin<Box<dyn Future<Output = Result<(), Failure>>>> {
        let daemon = D::new(&self.name, self.conf.clone(), context);
        Box::pin(async move { daemon.call().await })
    }
}
