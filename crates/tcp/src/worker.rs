use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use brim_config::TrustedProxies;
use brim_service::WorkerContext;
use brim_service::proxy_protocol::BAD_PROXY_HEADERS;
use brim_service::tls::FAILED_HANDSHAKES;
use brim_stats::Counter;
use rustls::ServerConfig;

use crate::app::AppContext;
use crate::plan::TcpPlan;
use crate::registry::BuiltApp;

/// The counter of connections that were closed because of their silence.
pub(crate) const SILENT: &str = "timeout_count";
/// The counter of connections that ended with an error.
pub(crate) const FAILED: &str = "failed_count";

/// A worker's state.
pub(crate) struct TcpWorker {
    pub(crate) context: WorkerContext,
    pub(crate) app: Rc<dyn BuiltApp>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) proxy_protocol: bool,
    pub(crate) trusted_proxies: TrustedProxies,
    /// For what comes before the app.
    pub(crate) handshake_timeout: Duration,
    /// How long a silence may last, zero is for ever.
    pub(crate) client_timeout: Duration,
    pub(crate) silent: Counter,
    pub(crate) failed: Counter,
    pub(crate) failed_handshakes: Counter,
    pub(crate) bad_proxy_headers: Counter,
}

impl TcpWorker {
    pub(crate) fn new(plan: &Arc<TcpPlan>, context: WorkerContext) -> Self {
        let section = &plan.section;
        if let Some(tls) = plan.tls.as_ref().filter(|_| context.index == 0) {
            tls.follow();
        }
        let counter = |name: &str| context.stats.counter(name);
        Self {
            app: plan.app.build(&AppContext::new(&context)),
            tls: plan.tls.as_ref().map(|tls| tls.config.clone()),
            proxy_protocol: section.tls.proxy_protocol,
            trusted_proxies: section.server.trusted_proxies.clone(),
            handshake_timeout: section.tls.handshake_timeout,
            client_timeout: section.client_timeout,
            silent: counter(SILENT),
            failed: counter(FAILED),
            failed_handshakes: counter(FAILED_HANDSHAKES),
            bad_proxy_headers: counter(BAD_PROXY_HEADERS),
            context,
        }
    }
}
