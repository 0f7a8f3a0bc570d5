//! A program for each connection, on its standard input and output, as inetd had them.

use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use brim_config::Reader;
use brim_service::{LocalStream, LogLimit, Stream};
use brim_stats::{Counter, Stat};

use crate::app::{App, AppContext};
use crate::connection::Connection;
use crate::relay::{Counts, Until, relay};

mod child;
mod conf;

use child::Child;
use conf::{Conf, Place};

/// Starts a program for each client.
pub(crate) struct Exec {
    conf: Arc<Conf>,
    counts: Counts,
    started: Counter,
    /// Programs that ended badly, or that could not be started.
    bad: Counter,
    /// Clients for whom there was no room.
    refused: Counter,
    log_limit: RefCell<LogLimit>,
}

impl App for Exec {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        Conf::read(section)
    }

    fn stats_conf(_: &Conf) -> Vec<Stat> {
        [
            "byte_in_count",
            "byte_out_count",
            "program_count",
            "program_failed_count",
            "program_refused_count",
        ]
        .map(Stat::sum)
        .into()
    }

    fn new(conf: Arc<Conf>, context: &AppContext) -> Self {
        Self {
            counts: Counts {
                up: context.counter("byte_in_count"),
                down: context.counter("byte_out_count"),
            },
            started: context.counter("program_count"),
            bad: context.counter("program_failed_count"),
            refused: context.counter("program_refused_count"),
            log_limit: RefCell::new(LogLimit::new()),
            conf,
        }
    }

    async fn serve(&self, connection: &mut Connection) -> io::Result<()> {
        let Some(place) = Place::take(&self.conf) else {
            self.refused.incr();
            self.warn("max_programs run, a client is sent away", None);
            return Ok(());
        };
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let command = self.conf.command(connection.client(), theirs)?;
        let started = Child::start(command, place, self.bad.clone()).await;
        let mut child = started.inspect_err(|error| {
            self.bad.incr();
            self.warn("the program does not start", Some(error));
        })?;
        self.started.incr();
        let mut ours = Stream::Unix(LocalStream::from_fd(ours.into())?);
        relay(connection, &mut ours, Until::Other, &self.counts).await?;
        // Nobody waits for what it does from now on.
        child.may_end();
        Ok(())
    }
}

impl Exec {
    fn warn(&self, what: &str, error: Option<&io::Error>) {
        if let Some(held_back) = self.log_limit.borrow_mut().pass(Instant::now()) {
            let error = error.map(ToString::to_string);
            tracing::warn!(program = %self.conf.program().display(), error, held_back, "{what}");
        }
    }
}
