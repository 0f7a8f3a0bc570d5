//! To other servers, byte for byte.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use brim_config::Reader;
use brim_service::{LogLimit, Stream};
use brim_stats::Stat;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::app::{App, AppContext};
use crate::connection::Connection;
use crate::relay::{Counts, Until, relay};

mod conf;
mod header;
mod upstreams;

use conf::Conf;
use upstreams::{Busy, Upstreams};

/// Connects each client with an upstream.
pub(crate) struct Forward {
    conf: Arc<Conf>,
    upstreams: Upstreams,
    counts: Counts,
    /// Attempts that failed.
    failed: brim_stats::Counter,
    /// Clients for whom all did.
    unserved: brim_stats::Counter,
    log_limit: RefCell<LogLimit>,
}

impl App for Forward {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        Conf::read(section)
    }

    fn stats_conf(_: &Conf) -> Vec<Stat> {
        ["byte_in_count", "byte_out_count", "upstream_failed_count", "unserved_count"]
            .map(Stat::sum)
            .into()
    }

    fn new(conf: Arc<Conf>, context: &AppContext) -> Self {
        Self {
            upstreams: Upstreams::new(conf.clone(), context.worker()),
            counts: Counts {
                up: context.counter("byte_in_count"),
                down: context.counter("byte_out_count"),
            },
            failed: context.counter("upstream_failed_count"),
            unserved: context.counter("unserved_count"),
            log_limit: RefCell::new(LogLimit::new()),
            conf,
        }
    }

    async fn serve(&self, connection: &mut Connection) -> io::Result<()> {
        connection.set_silence(self.conf.idle_timeout);
        let (mut upstream, _busy) = self.connect(connection).await?;
        relay(connection, &mut upstream, Until::Both, &self.counts)
            .await
            .inspect_err(|_| crate::shell::reset(&upstream))
    }
}

impl Forward {
    /// A connection to an upstream, with the header that it wants. Each is tried once.
    async fn connect(&self, client: &Connection) -> io::Result<(Stream, Busy)> {
        let header = self.conf.send_proxy_protocol.header(client);
        let mut tried = Vec::new();
        let mut last = None;
        while let Some(upstream) = self.upstreams.pick(Instant::now(), &tried) {
            let busy = Busy::new(upstream.clone());
            let attempt = async {
                let mut stream = upstream.connect(&self.conf).await?;
                if !header.is_empty() {
                    stream.write_all(&header).await?;
                }
                Ok(stream)
            };
            let late = || Err(io::ErrorKind::TimedOut.into());
            match timeout(self.conf.connect_timeout, attempt).await.unwrap_or_else(|_| late()) {
                Ok(stream) => {
                    upstream.succeeded();
                    return Ok((stream, busy));
                }
                Err(error) => {
                    self.failed.incr();
                    upstream.failed(Instant::now(), &self.conf, &error);
                    last = Some(error);
                }
            }
            tried.push(upstream);
        }
        self.unserved.incr();
        let error = last.unwrap_or_else(|| io::Error::other("no upstream"));
        if let Some(held_back) = self.log_limit.borrow_mut().pass(Instant::now()) {
            let client = client.client().map(|client| client.ip().to_string());
            tracing::warn!(client, %error, held_back, "no upstream takes connections");
        }
        Err(error)
    }
}

/// Shared by those who connect to it.
type Shared = Rc<upstreams::Upstream>;
