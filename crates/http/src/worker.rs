//! What one worker makes of the section: its chain of apps, its counters, its limits.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use brim_config::{HttpSection, TrustedProxies};
use brim_service::proxy_protocol::BAD_PROXY_HEADERS;
use brim_service::tls::FAILED_HANDSHAKES;
use brim_service::{LogLimit, WorkerContext};
use brim_stats::Counter;
use http::HeaderValue;
use hyper::server::conn::http1;
use rustls::ServerConfig;

use crate::access_log::AccessLog;
use crate::app::AppContext;
use crate::apps::Messages;
use crate::chain::{Chain, Link};
use crate::error::ErrorPages;
use crate::plan::HttpPlan;

/// hyper's parser keeps this many header lines on its stack.
const HEADERS_ON_STACK: usize = 100;
/// hyper wants at least this much for a head.
pub(crate) const SMALLEST_BUFFER: usize = 8192;

/// The times that a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) body: Duration,
    pub(crate) body_min_rate: u64,
    pub(crate) write: Duration,
    pub(crate) handshake: Duration,
    pub(crate) linger: Duration,
    pub(crate) linger_total: Duration,
    pub(crate) drain_tunnel: Duration,
}

/// The sizes that a client may choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) head: usize,
    pub(crate) headers: usize,
    pub(crate) uri: usize,
    pub(crate) body: u64,
    /// The largest body that any app takes.
    pub(crate) any_body: u64,
    pub(crate) http2: Http2Limits,
}

/// What a client may do with an HTTP/2 connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http2Limits {
    pub(crate) streams: u32,
    pub(crate) resets: usize,
    pub(crate) control: u32,
    pub(crate) window: u32,
}

/// HTTP/2 as ALPN names it.
pub(crate) const HTTP2: &[u8] = b"h2";

/// The counters of every request.
#[derive(Debug)]
pub(crate) struct Counters {
    requests: Counter,
    /// For 2xx to 5xx.
    classes: [Counter; 4],
    /// For the codes of `count_status_codes`.
    codes: Vec<(u16, Counter)>,
    failed_handshakes: Counter,
    bad_proxy_headers: Counter,
    moved_connections: Counter,
}

impl Counters {
    pub(crate) fn count_failed_handshake(&self) {
        self.failed_handshakes.incr();
    }

    pub(crate) fn count_bad_proxy_header(&self) {
        self.bad_proxy_headers.incr();
    }

    pub(crate) fn count_moved_connection(&self) {
        self.moved_connections.incr();
    }

    pub(crate) fn count(&self, status: u16) {
        self.requests.incr();
        let class = usize::from(status / 100).checked_sub(2);
        if let Some(counter) = class.and_then(|class| self.classes.get(class)) {
            counter.incr();
        }
        if let Some((_, counter)) = self.codes.iter().find(|(code, _)| *code == status) {
            counter.incr();
        }
    }
}

/// A worker's state.
#[derive(Debug)]
pub(crate) struct HttpWorker {
    pub(crate) context: WorkerContext,
    pub(crate) chain: Rc<Chain>,
    /// Where socket messages go.
    pub(crate) messages: Option<Rc<Messages>>,
    pub(crate) counters: Counters,
    pub(crate) times: Times,
    pub(crate) limits: Limits,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) log: AccessLog,
    pub(crate) log_limit: LogLimit,
    pub(crate) error_pages: Arc<ErrorPages>,
    /// The Server header.
    pub(crate) server: Option<HeaderValue>,
    /// Responses tell their transaction.
    pub(crate) echo_txn: bool,
    pub(crate) protocol: http1::Builder,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) h2c: bool,
    pub(crate) proxy_protocol: bool,
}

impl HttpWorker {
    pub(crate) fn new(plan: &Arc<HttpPlan>, context: WorkerContext) -> Self {
        let section = &plan.section;
        let app = AppContext::new(&context);
        let built: Vec<_> = plan.apps.iter().map(|planned| planned.app.build(&app)).collect();
        let handlers =
            plan.apps.iter().zip(&built).filter_map(|(planned, built)| {
                Some((planned.scope.routes.clone(), built.handler()?))
            });
        let messages = Messages::new(handlers).map(Rc::new);
        let links = built.into_iter().zip(&plan.apps);
        let links = links.map(|(built, planned)| Link::new(built, &planned.scope));
        let bodies = plan.apps.iter().filter_map(|planned| planned.scope.body_limit);
        let stats = &context.stats;
        if let Some(tls) = plan.tls.as_ref().filter(|_| context.index == 0) {
            tls.follow();
        }
        let counters = Counters {
            requests: stats.counter("request_count"),
            classes: [2, 3, 4, 5].map(|class| stats.counter(&format!("status_{class}xx_count"))),
            codes: section
                .count_status_codes
                .iter()
                .map(|code| (*code, stats.counter(&format!("status_{code}_count"))))
                .collect(),
            failed_handshakes: stats.counter(FAILED_HANDSHAKES),
            bad_proxy_headers: stats.counter(BAD_PROXY_HEADERS),
            moved_connections: stats.counter("moved_connection_count"),
        };
        Self {
            chain: Chain::new(links.collect(), section.body_limit),
            messages,
            counters,
            times: times(section),
            limits: Limits {
                head: section.head_limit,
                headers: section.header_limit,
                uri: section.uri_limit,
                body: section.body_limit,
                any_body: bodies.fold(section.body_limit, u64::max),
                http2: Http2Limits {
                    streams: section.http2.max_streams,
                    resets: section.http2.max_resets,
                    control: section.http2.max_control,
                    window: section.http2.window,
                },
            },
            trusted_proxies: section.server.trusted_proxies.clone(),
            log: AccessLog::new(section),
            log_limit: LogLimit::new(),
            error_pages: plan.error_pages.clone(),
            server: section
                .server_header
                .as_deref()
                .and_then(|text| HeaderValue::try_from(text).ok()),
            echo_txn: section.echo_txn,
            protocol: protocol(section),
            tls: plan.tls.as_ref().map(|tls| tls.config.clone()),
            h2c: section.http2.h2c,
            proxy_protocol: section.tls.proxy_protocol,
            context,
        }
    }
}

fn times(section: &HttpSection) -> Times {
    Times {
        head: section.head_timeout,
        idle: section.idle_timeout,
        body: section.body_timeout,
        body_min_rate: section.body_min_rate,
        write: section.write_timeout,
        handshake: section.tls.handshake_timeout,
        linger: section.linger_timeout,
        linger_total: section.linger_time,
        drain_tunnel: section.drain_tunnel,
    }
}

/// hyper as we use it: the clocks are the shell's, the exact limits are admission's.
fn protocol(section: &HttpSection) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .header_read_timeout(None)
        .title_case_headers(true)
        .max_buf_size(section.head_limit.max(SMALLEST_BUFFER));
    if section.header_limit > HEADERS_ON_STACK {
        protocol.max_headers(section.header_limit);
    }
    protocol
}
