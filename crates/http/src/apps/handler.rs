//! The `handler` app: answers by what a handler behind the gateway answers.
//!
//! ```text
//! call -> Upload::new -> Gateway::line -> Line::begin (head) -> exchanged -> download
//!                           ^                 upload                |          socket
//!                           +------- again, where nothing has read it
//! ```
//!
//! All requests of a worker for one gateway go over one link, on which they are exchanges
//! (`docs/link.md`). What a client does not take is not granted to its handler, and what a handler does not
//! take is not read from its client.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use brim_config::Reader;
use brim_stats::{Counter, Stat};
use brim_wire::link::{Cancel, Class, Reason};
use http::{HeaderValue, header};

use crate::app::{App, AppContext, Claims, Request};
use crate::body::Response;
use crate::chain::Next;
use crate::error::{Error, HandlerFailure};

mod conf;
mod download;
mod head;
mod link;
mod messages;
mod socket;
mod upload;

use head::Outgoing;
use link::{Answer, Failure, Gateway, NotBegun, Open};
use upload::Upload;

pub(crate) use conf::Conf;
pub(crate) use messages::{Messages, begins_with, speak};

/// How often a request is tried again that nothing has read.
const RETRIES: usize = 3;
/// What clients are told to wait where the gateway does not say.
const RETRY_AFTER: u16 = 1;

/// Passes requests on to a handler.
#[derive(Clone)]
pub(crate) struct Handler {
    conf: Arc<Conf>,
    gateway: Rc<Gateway>,
    shared: Rc<Shared>,
}

/// A handler's name and counters on one worker.
pub(super) struct Shared {
    name: Arc<str>,
    requests: Counter,
    /// One for each of [`Shared::FAILURES`].
    failures: [Counter; Shared::FAILURES.len()],
    retries: Counter,
    /// Responses that broke off after their head.
    cut_off: Counter,
    /// Connections that have become WebSockets.
    upgrades: Counter,
    /// Messages of WebSockets and socket messages.
    messages: Counter,
    /// WebSockets and connections with socket messages that were closed because the client broke a rule.
    violations: Counter,
}

/// The failures that are counted, by the names of their counters.
const fn counted(failure: HandlerFailure) -> Option<usize> {
    use HandlerFailure as F;
    Some(match failure {
        F::NoGateway => 0,
        F::Full | F::Overload => 1,
        F::LinkLost => 2,
        F::NoHandler => 3,
        F::Timeout => 4,
        F::Malformed => 5,
        F::Left => 6,
        F::Unknown => 7,
        F::TooLarge => 8,
        F::Cancelled => 9,
        F::Stops | F::Failed => 10,
        F::HeadTooLarge | F::CutOff => return None,
    })
}

impl Shared {
    /// 503, 503, 502, 503, 504, 502, 502, 502, 413, no answer, and 503 or 500.
    const FAILURES: [&'static str; 11] = [
        "no_gateway",
        "overload",
        "link_lost",
        "no_handler",
        "timeouts",
        "malformed",
        "left",
        "unknown",
        "too_large",
        "cancelled",
        "gateway_failed",
    ];
    const OTHERS: [&'static str; 6] =
        ["requests", "retries", "cut_off", "upgrades", "messages", "violations"];

    fn new(name: &str, context: &AppContext) -> Self {
        let counter = |counter: &str| context.counter(&format!("{name}.{counter}"));
        let [requests, retries, cut_off, upgrades, messages, violations] =
            Self::OTHERS.map(counter);
        let failures = Self::FAILURES.map(counter);
        let name = name.into();
        Self { name, requests, failures, retries, cut_off, upgrades, messages, violations }
    }

    /// The error that a failure is; counted where it becomes the answer.
    fn failed(&self, failure: HandlerFailure) -> Error {
        if let Some(counter) = counted(failure).and_then(|place| self.failures.get(place)) {
            counter.incr();
        }
        self.error(failure)
    }

    fn error(&self, failure: HandlerFailure) -> Error {
        Error::Handler { handler: self.name.clone(), failure }
    }

    fn cut_off(&self) {
        self.cut_off.incr();
    }

    /// The same for what the gateway says, with the time after which the client may come back.
    fn answer(&self, failure: HandlerFailure, retry_after: u16) -> Error {
        let error = self.failed(failure);
        let seconds = match (retry_after, error.code().as_u16()) {
            (0, 503) => RETRY_AFTER,
            (seconds, _) => seconds,
        };
        match seconds {
            0 => error,
            seconds => error.with_header(header::RETRY_AFTER, HeaderValue::from(seconds)),
        }
    }
}

/// In what way a handler has failed where its gateway cancels.
fn failure(reason: Reason) -> HandlerFailure {
    match reason {
        Reason::NoHandler => HandlerFailure::NoHandler,
        Reason::HandlerTimeout => HandlerFailure::Timeout,
        Reason::HandlerBroke => HandlerFailure::Malformed,
        Reason::HandlerLeft => HandlerFailure::Left,
        Reason::Overload => HandlerFailure::Overload,
        Reason::UnknownHandler => HandlerFailure::Unknown,
        Reason::TooLarge => HandlerFailure::TooLarge,
        Reason::HandlerCancelled => HandlerFailure::Cancelled,
        Reason::GatewayStops => HandlerFailure::Stops,
        // The others are ours, and no gateway sends them.
        _ => HandlerFailure::Failed,
    }
}

impl App for Handler {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        Conf::read(section)
    }

    fn claims(_: &Conf) -> Claims {
        Claims::Everything
    }

    fn capacity(conf: &Conf) -> usize {
        conf.max_exchanges
    }

    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        let names = Shared::OTHERS.iter().chain(&Shared::FAILURES);
        names.map(|counter| Stat::sum(format!("{name}.{counter}"))).collect()
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        let sender = format!("{}/{}", context.section(), context.worker());
        let gateway = Gateway::at(&conf.link, &sender);
        Self { conf, gateway, shared: Rc::new(Shared::new(name, context)) }
    }

    async fn call(&self, mut request: Request, _: Next) -> Result<Response, Error> {
        self.shared.requests.incr();
        let has_body = !http_body::Body::is_end_stream(request.body());
        let class = match head::is_websocket(&request, has_body)? {
            true => Class::WebSocket,
            false => Class::Http,
        };
        // Boxed: most requests have no body, and no need of its room.
        let mut upload = match has_body {
            true => Box::pin(Upload::new(request.body().take())).await?,
            false => Upload::none(),
        };
        let outgoing = Outgoing { request, class };
        for retry in 0.. {
            let open = self.begin(&outgoing, &upload).await?;
            match self.exchanged(&open, &mut upload).await {
                Ok(answer) => return self.answer(&outgoing, open, answer, upload),
                Err(Ended::ByClient(error)) => {
                    open.cancel(upload::reason(&error));
                    return Err(error);
                }
                Err(Ended::ByGateway(failure)) => {
                    if retry >= RETRIES || !is_unread(failure) || !upload.rewind() {
                        return Err(self.failed(failure));
                    }
                    self.shared.retries.incr();
                }
            }
        }
        Err(Error::Panic)
    }
}

/// How an exchange ended before its answer.
enum Ended {
    ByClient(Error),
    ByGateway(Failure),
}

/// Whether nobody can have seen the request.
fn is_unread(failure: Failure) -> bool {
    match failure {
        Failure::Cancelled(cancel) => cancel.reason == Reason::GatewayStops,
        Failure::Lost { unread } => unread,
        Failure::Dropped => false,
    }
}

impl Handler {
    /// Sends a request's head over a link that takes it.
    async fn begin(&self, outgoing: &Outgoing, upload: &Upload) -> Result<Open, Error> {
        let line = self.gateway.line(self.conf.gateway_wait).await;
        let line = line.map_err(|link::NoLink| self.shared.answer(HandlerFailure::NoGateway, 0))?;
        let (name, length) = (&*self.shared.name, upload.length());
        let client = &outgoing.request.exchange().peer.connection;
        let begun =
            line.begin(outgoing.class, client, |out, id| outgoing.append(out, id, name, length));
        begun.map_err(|not| match not {
            NotBegun::Full => self.shared.answer(HandlerFailure::Full, 0),
            NotBegun::TooLong => self.shared.failed(HandlerFailure::HeadTooLarge),
        })
    }

    /// Sends the body, and waits for the answer.
    async fn exchanged(&self, open: &Open, upload: &mut Upload) -> Result<Answer, Ended> {
        poll_fn(|cx| {
            if let Poll::Ready(answer) = open.poll_answer(cx) {
                return Poll::Ready(answer.map_err(Ended::ByGateway));
            }
            match upload.poll_send(cx, open) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(Ended::ByClient(error))),
                _ => Poll::Pending,
            }
        })
        .await
    }

    fn answer(
        &self,
        outgoing: &Outgoing,
        open: Open,
        answer: Answer,
        upload: Upload,
    ) -> Result<Response, Error> {
        if !answer.is_upgrade {
            return download::response(&self.shared, outgoing, open, answer, upload);
        }
        self.shared.upgrades.incr();
        socket::response(&self.shared, outgoing, open, answer, self.conf.clone())
    }

    fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Cancelled(Cancel { reason, retry_after }) => {
                self.shared.answer(self::failure(reason), retry_after)
            }
            Failure::Lost { .. } | Failure::Dropped => self.shared.failed(HandlerFailure::LinkLost),
        }
    }
}
