//! To other servers: a socket of its own for each client, so that answers find their way back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brim_config::Reader;
use brim_service::LogLimit;
use brim_stats::{Counter, Stat};

use crate::app::AppContext;
use crate::batch::Batch;
use crate::registry::BatchApp;
use crate::socket::{From, Socket};

mod conf;
mod session;
mod upstreams;

use conf::Conf;
use session::Session;
use upstreams::Upstreams;

/// How long answers may still come when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Connects each client with an upstream.
pub(crate) struct Forward {
    conf: Arc<Conf>,
    upstreams: Rc<Upstreams>,
    sessions: Rc<RefCell<Sessions>>,
    counters: Rc<Counters>,
    log_limit: RefCell<LogLimit>,
}

/// The sessions by client and socket.
type Sessions = HashMap<(usize, From), Rc<Session>>;

struct Counters {
    sessions: Counter,
    refused: Counter,
    up: Counter,
    down: Counter,
    /// Datagrams that could not be sent on, to an upstream or to a client.
    unsent: Counter,
    failed: Counter,
}

impl BatchApp for Forward {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        Conf::read(section)
    }

    fn stats_conf(_: &Conf) -> Vec<Stat> {
        [
            "byte_in_count",
            "byte_out_count",
            "send_failed_count",
            "session_count",
            "session_refused_count",
            "upstream_failed_count",
        ]
        .map(Stat::sum)
        .into()
    }

    /// Clients keep their sessions at a reload, save those of upstreams that are no longer there.
    fn new(conf: Arc<Conf>, context: &AppContext, previous: Option<&Self>) -> Self {
        let sessions = previous.map(|previous| previous.sessions.clone()).unwrap_or_default();
        sessions.borrow_mut().retain(|_, session| session.is_to_one_of(&conf.upstreams));
        Self {
            upstreams: Upstreams::new(&conf, context.worker()),
            sessions,
            counters: Rc::new(Counters {
                sessions: context.counter("session_count"),
                refused: context.counter("session_refused_count"),
                up: context.counter("byte_in_count"),
                down: context.counter("byte_out_count"),
                unsent: context.counter("send_failed_count"),
                failed: context.counter("upstream_failed_count"),
            }),
            log_limit: RefCell::new(LogLimit::new()),
            conf,
        }
    }

    async fn serve(&self, socket: &Rc<Socket>, batch: &Batch) {
        for came in &batch.came {
            let Some(session) = self.session(socket, &came.from) else { continue };
            let bytes = batch.bytes(came);
            match session.send(bytes) {
                Ok(()) => self.counters.up.add(bytes.len() as u64),
                Err(_) => self.counters.unsent.incr(),
            }
        }
    }

    async fn finish(&self) {
        let deadline = Instant::now() + LAST_ANSWERS;
        while Instant::now() < deadline
            && self.sessions.borrow().values().any(|session| session.waits())
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Forward {
    /// The session of a client; a new one if there is room.
    fn session(&self, socket: &Rc<Socket>, from: &From) -> Option<Rc<Session>> {
        let key = (Rc::as_ptr(socket).addr(), from.clone());
        let known = self.sessions.borrow().get(&key).cloned();
        if let Some(session) = known {
            if !session.is_refused() {
                return Some(session);
            }
            self.sessions.borrow_mut().remove(&key);
        }
        if self.sessions.borrow().len() >= self.conf.max_sessions {
            self.counters.refused.incr();
            self.warn("max_sessions are open, a datagram is dropped");
            return None;
        }
        let Some((upstream, address)) = self.upstreams.pick(Instant::now()) else {
            self.counters.failed.incr();
            self.warn("no upstream has an address, a datagram is dropped");
            return None;
        };
        let session = match Session::new(upstream, address) {
            Ok(session) => Rc::new(session),
            Err(error) => {
                self.counters.failed.incr();
                self.warn(&format!("no socket for a session: {error}"));
                return None;
            }
        };
        self.counters.sessions.incr();
        self.sessions.borrow_mut().insert(key.clone(), session.clone());
        let (counters, sessions) = (self.counters.clone(), Rc::downgrade(&self.sessions));
        let (socket, conf) = (socket.clone(), self.conf.clone());
        let served = session.clone();
        tokio::task::spawn_local(async move {
            served.answer(&socket, &key.1, &conf, &counters).await;
            let Some(sessions) = sessions.upgrade() else { return };
            let mut sessions = sessions.borrow_mut();
            // It may have a successor already.
            if sessions.get(&key).is_some_and(|current| Rc::ptr_eq(current, &served)) {
                sessions.remove(&key);
            }
        });
        Some(session)
    }

    fn warn(&self, what: &str) {
        if let Some(held_back) = self.log_limit.borrow_mut().pass(Instant::now()) {
            tracing::warn!(held_back, "{what}");
        }
    }
}
