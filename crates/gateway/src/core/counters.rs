use brim_stats::{Counter, Layout, Stat, WorkerStats};
use brim_wire::link::Reason;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// What a gateway counts, under these names.
        #[derive(Debug)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

            pub(crate) fn new(stats: &WorkerStats) -> Self {
                Self { $($name: stats.counter(stringify!($name)),)* }
            }
        }
    };
}

counters! {
    /// Exchanges that front ends began.
    request_count
    /// Messages of WebSockets and sockets, from clients.
    message_count
    /// Messages of handlers.
    reply_count
    /// Clients that these were for.
    delivery_count
    /// Notices to handlers.
    notice_count
    /// 503: no handler was connected.
    no_handler_count
    /// 503: too much waited.
    overload_count
    /// 504: no handler answered in time.
    handler_timeout_count
    /// 502: a handler's answer could not be understood.
    handler_broke_count
    /// 502: the handler left.
    handler_left_count
    /// 502: there was no handler of that name.
    unknown_handler_count
    /// 413: a body or message was too large.
    too_large_count
    /// 500: the gateway failed, a disk perhaps.
    failed_count
    /// Messages of handlers that were no replies.
    bad_reply_count
    /// Replies for another server, or by another handler than was asked.
    foreign_reply_count
    /// Replies for exchanges that are over.
    late_reply_count
    /// Handlers that were disconnected because of what they sent, or did not.
    bad_peer_count
    /// Front ends that were.
    bad_link_count
    /// Now.
    links_open
    /// Now, both sockets of each handler.
    peers_open
    /// Now.
    exchanges_open
    /// Bytes that wait now.
    waiting_bytes
}

impl Counters {
    /// Counts why an exchange ended before its time.
    pub(crate) fn count(&self, reason: Reason) {
        let counter = match reason {
            Reason::NoHandler => &self.no_handler_count,
            Reason::Overload => &self.overload_count,
            Reason::HandlerTimeout => &self.handler_timeout_count,
            Reason::HandlerBroke => &self.handler_broke_count,
            Reason::HandlerLeft => &self.handler_left_count,
            Reason::UnknownHandler => &self.unknown_handler_count,
            Reason::TooLarge => &self.too_large_count,
            Reason::GatewayFailed => &self.failed_count,
            _ => return,
        };
        counter.incr();
    }
}

/// The names of all stats, those of handlers too.
pub(crate) fn layout<'a>(handlers: impl Iterator<Item = &'a str>) -> Layout {
    let mut layout = Layout::default();
    let own = Counters::NAMES.iter().copied().chain(SERVICE);
    for name in own.map(str::to_owned).chain(handlers.flat_map(of_handler)) {
        // Handlers may be called like others: then they share a counter.
        let _ = layout.declare(Stat::sum(name));
    }
    let _ = layout.declare(Stat::new("start_time", brim_stats::RollUp::Worker));
    layout
}

/// What `brim-service` counts.
const SERVICE: [&str; 3] = ["access_log_dropped_count", "connection_count", "log_dropped_count"];

fn of_handler(name: &str) -> [String; 2] {
    [format!("{name}.request_count"), format!("{name}.peers_open")]
}
