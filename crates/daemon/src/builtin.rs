//! The daemons that come with Brim.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use brim_config::{Reader, Timeout};
use brim_stats::{RollUp, Stat};

use crate::daemon::{Daemon, DaemonContext, Failure};
use crate::report::Counter;

/// Logs a line now and then, and says when: for a look at how daemons are run.
pub(crate) struct Sample {
    name: String,
    conf: Arc<Conf>,
    iterations: Counter,
    last_run: Counter,
}

/// `interval`: time between two lines, default 60s.
pub(crate) struct Conf {
    interval: Duration,
}

impl Daemon for Sample {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        let Timeout(interval) = section.get_or("interval", Timeout(Duration::from_secs(60)));
        Conf { interval }
    }

    fn stats_conf(_: &str, _: &Conf) -> Vec<Stat> {
        vec![Stat::sum("iterations"), Stat::new("last_run", RollUp::Max)]
    }

    fn new(name: &str, conf: Arc<Conf>, context: &DaemonContext) -> Self {
        let (iterations, last_run) = (context.counter("iterations"), context.counter("last_run"));
        Self { name: name.to_owned(), conf, iterations, last_run }
    }

    async fn call(&self) -> Result<(), Failure> {
        let mut lines = 0;
        loop {
            lines += 1;
            tracing::info!("{} sample daemon log line {lines}", self.name);
            // Of this process: they begin anew with each start.
            self.iterations.set(lines);
            self.last_run.set(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
            tokio::time::sleep(self.conf.interval).await;
        }
    }
}
