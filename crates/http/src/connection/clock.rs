use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use brim_service::Wake;
use http::StatusCode;

use super::crowd::park_after;
use super::outgoing::Outgoing;
use crate::error::Error;
use crate::exchange::{End, Exchange};
use crate::worker::{HttpWorker, Times};

/// How often a connection with work in progress is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Looks fall on multiples of this, so that one wake-up does for many connections.
const GRID: Duration = Duration::from_millis(20);
/// How long a client that has ended its half may wait for its response to begin. Most of those
/// clients are gone altogether, and what their requests cost is better spent on others.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes of a head that are kept, so that a request which hyper refuses can be logged.
const SAMPLE: usize = 512;

/// Where a connection is between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come since the last response.
    Idle,
    /// A head has begun.
    Head,
    /// An exchange: from the whole head to the last flushed byte of the response.
    Exchange,
}

/// What is to be done with a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing; look again after this time.
    Wait(Duration),
    /// It has been silent: take the socket back and park it.
    Park,
    /// The head took too long.
    HeadTimeout,
    /// The client does not take its response.
    WriteTimeout,
    /// The client has ended its half and got no response in time.
    Gone,
}

/// The time somebody waits for a request's body.
#[derive(Debug, Default)]
struct BodyClock {
    /// Since when an app waits for the next bytes.
    since: Option<Instant>,
    /// Time spent waiting before that.
    waited: Duration,
    received: u64,
    /// What the app says, in place of the server's `body_timeout`.
    timeout: Option<Duration>,
    expired: bool,
    /// Who waits for them.
    reader: Wake,
}

impl BodyClock {
    fn waiting(&self, now: Instant) -> Duration {
        self.waited + self.since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

/// What a connection's socket, hyper's service and the shell know in common: where the connection
/// is, since when, and what for. All on one thread.
#[derive(Debug)]
pub(crate) struct Clock {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// The state that serves (or last served) this connection.
    worker: RefCell<Rc<HttpWorker>>,
    exchange: RefCell<Option<Rc<Exchange>>>,
    /// hyper has taken the whole response; what is left is to flush it.
    produced: Cell<bool>,
    body_open: Cell<bool>,
    /// When the client ended its half, during an exchange.
    ended: Cell<Option<Instant>>,
    body: RefCell<BodyClock>,
    write_blocked: Cell<Option<Instant>>,
    outgoing: Outgoing,
    sample: RefCell<Vec<u8>>,
    refused: Cell<Option<StatusCode>>,
    closes: Cell<bool>,
}

impl Clock {
    pub(crate) fn new(worker: Rc<HttpWorker>) -> Self {
        Self {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
            worker: RefCell::new(worker),
            exchange: RefCell::default(),
            produced: Cell::new(false),
            body_open: Cell::new(false),
            ended: Cell::new(None),
            body: RefCell::default(),
            write_blocked: Cell::new(None),
            outgoing: Outgoing::default(),
            sample: RefCell::default(),
            refused: Cell::new(None),
            closes: Cell::new(false),
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }

    /// Silence begins (anew): nothing of a request has come.
    pub(crate) fn begin_silence(&self) {
        self.enter(Phase::Idle);
    }

    /// From now on this state's times count.
    pub(crate) fn serve_for(&self, worker: Rc<HttpWorker>) {
        *self.worker.borrow_mut() = worker;
    }

    /// When to look at the connection again, after this time or a little later.
    pub(crate) fn next_look(now: Instant, time: Duration) -> Instant {
        thread_local! {
            static ZERO: Instant = Instant::now();
        }
        let at = now + time;
        let behind = at.saturating_duration_since(ZERO.with(|zero| *zero)).as_nanos();
        let rest = behind.next_multiple_of(GRID.as_nanos()) - behind;
        at + Duration::from_nanos(u64::try_from(rest).unwrap_or_default())
    }

    /// When the present phase began.
    pub(crate) fn since(&self) -> Instant {
        self.since.get()
    }

    /// Bytes came from the client.
    pub(crate) fn read(&self, bytes: &[u8]) {
        match self.phase.get() {
            Phase::Exchange => return,
            Phase::Idle => self.enter(Phase::Head),
            Phase::Head => {}
        }
        let mut sample = self.sample.borrow_mut();
        let room = SAMPLE.saturating_sub(sample.len());
        sample.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The head is whole: an exchange begins. One that was only still to be flushed is over.
    pub(crate) fn begin(&self, exchange: Rc<Exchange>, worker: Rc<HttpWorker>) {
        self.end(End::Complete);
        self.serve_for(worker);
        self.phase.set(Phase::Exchange);
        self.since.set(exchange.start);
        self.sample.borrow_mut().clear();
        self.produced.set(false);
        self.ended.set(None);
        *self.body.borrow_mut() = BodyClock::default();
        *self.exchange.borrow_mut() = Some(exchange);
    }

    /// The client has ended its half. Whether to keep that from hyper, which would drop the exchange
    /// at once: a client may well do so and still want its response. While a body is open its end
    /// matters, but not before the app has seen what came until then: that takes one more turn.
    pub(crate) fn hides_end(&self, cx: &Context<'_>) -> bool {
        if self.phase.get() != Phase::Exchange {
            return false;
        }
        if !self.is_ended() {
            self.note_end();
            cx.waker().wake_by_ref();
            return true;
        }
        !self.body_open.get()
    }

    /// The client has ended its half, during an exchange.
    pub(crate) fn note_end(&self) {
        self.ended.set(Some(Instant::now()));
    }

    /// Whether the client has ended its half during this exchange.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Whether somebody whose half is ended has waited long enough.
    fn is_gone(&self, now: Instant) -> bool {
        let exchange = self.exchange.borrow();
        let waits = exchange.as_ref().is_some_and(|exchange| exchange.status.get().is_none());
        waits && self.ended.get().is_some_and(|since| now.duration_since(since) >= GRACE)
    }

    /// hyper has taken (or dropped) the whole response.
    pub(crate) fn response_produced(&self) {
        self.produced.set(true);
    }

    /// hyper has nothing left to write: with the response produced, the exchange is over.
    pub(crate) fn flushed(&self, cx: &Context<'_>) {
        if self.phase.get() == Phase::Exchange
            && self.produced.get()
            && !self.is_upgrading()
            && let Some(now) = self.end(End::Complete)
        {
            self.phase.set(Phase::Idle);
            self.since.set(now);
            if self.is_ended() {
                // Now hyper may see it.
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Ends the exchange, if there is one; the time of that.
    pub(crate) fn end(&self, end: End) -> Option<Instant> {
        let exchange = self.exchange.borrow_mut().take()?;
        self.closes.set(exchange.closes());
        Some(exchange.finish(end))
    }

    /// Whether the connection is to be closed, now that the last exchange is over.
    pub(crate) fn closes(&self) -> bool {
        self.closes.get()
    }

    /// Whether the exchange goes on when hyper is done with it.
    fn is_upgrading(&self) -> bool {
        self.exchange.borrow().as_ref().is_some_and(|exchange| exchange.is_upgrading())
    }

    /// The exchange, if it goes on without hyper.
    pub(crate) fn take_upgrading(&self) -> Option<Rc<Exchange>> {
        self.is_upgrading().then(|| self.exchange.take()).flatten()
    }

    /// Says whether some of the request's body may still come.
    pub(crate) fn body_open(&self, open: bool) {
        self.body_open.set(open);
    }

    /// Whether some of the request's body may still come.
    pub(crate) fn is_body_open(&self) -> bool {
        self.body_open.get()
    }

    /// The app that has the request now says how long its body may take; or it does not say.
    pub(crate) fn body_timeout(&self, timeout: Option<Duration>) {
        self.body.borrow_mut().timeout = timeout;
    }

    /// Waits for body bytes; ready when the client took too long.
    pub(crate) fn wait_for_body(&self, cx: &Context<'_>) -> Poll<()> {
        let mut body = self.body.borrow_mut();
        if body.expired {
            return Poll::Ready(());
        }
        body.since.get_or_insert_with(Instant::now);
        body.reader.keep(cx);
        Poll::Pending
    }

    /// Body bytes came.
    pub(crate) fn body_came(&self, count: usize) {
        let mut body = self.body.borrow_mut();
        body.received += count as u64;
        if let Some(since) = body.since.take() {
            body.waited += since.elapsed();
        }
    }

    /// The files on their way to the client.
    pub(crate) fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// So much of a file was sent.
    pub(crate) fn sent_of_file(&self, count: usize) {
        if let Some(exchange) = &*self.exchange.borrow() {
            exchange.add_bytes_out(count as u64);
        }
    }

    /// A file could not be sent to its end.
    pub(crate) fn broke_off(&self, error: &Error) {
        if let Some(exchange) = &*self.exchange.borrow() {
            exchange.broke_off(error);
        }
    }

    /// The client takes no more of the response for now.
    pub(crate) fn write_blocks(&self) {
        if self.write_blocked.get().is_none() {
            self.write_blocked.set(Some(Instant::now()));
        }
    }

    /// The client took something.
    pub(crate) fn write_goes(&self) {
        self.write_blocked.set(None);
    }

    /// Whether bytes that hyper wants to write belong to an exchange. If not, they are hyper's own
    /// refusal, of which only the status is kept: the shell answers in our own words.
    pub(crate) fn writes_response(&self, bytes: &[u8]) -> bool {
        if self.phase.get() == Phase::Exchange {
            return true;
        }
        if self.refused.get().is_none() {
            let status = bytes.get(9..12).and_then(|code| StatusCode::from_bytes(code).ok());
            self.refused.set(Some(status.unwrap_or(StatusCode::BAD_REQUEST)));
        }
        false
    }

    /// The status by which hyper refused a head.
    pub(crate) fn refused(&self) -> Option<StatusCode> {
        self.refused.get()
    }

    /// The beginning of a head that did not become an exchange.
    pub(crate) fn take_sample(&self) -> Vec<u8> {
        self.sample.take()
    }

    /// Frees what a silent connection does not need.
    pub(crate) fn rest(&self) {
        self.sample.take();
        self.outgoing.rest();
        self.body.borrow_mut().reader = Wake::default();
    }

    /// What is to be done at `now`. An overdue body is told to whoever waits for it.
    pub(crate) fn due(&self, now: Instant) -> Due {
        let times = self.worker.borrow().times;
        let park_after = park_after();
        if self.write_blocked.get().is_some_and(|since| now.duration_since(since) >= times.write) {
            return Due::WriteTimeout;
        }
        let elapsed = now.duration_since(self.since.get());
        match self.phase.get() {
            Phase::Idle if elapsed >= park_after => Due::Park,
            Phase::Idle => Due::Wait(park_after - elapsed),
            Phase::Head if elapsed >= times.head => Due::HeadTimeout,
            // Soon at first: most heads are whole by then, and their exchanges over. Slow ones are many
            // where somebody means harm.
            Phase::Head => Due::Wait(elapsed.clamp(park_after, LOOK).min(times.head - elapsed)),
            Phase::Exchange if self.is_gone(now) => Due::Gone,
            Phase::Exchange => {
                let timeout = self.body.borrow().timeout.unwrap_or(times.body);
                let times = Times { body: timeout, ..times };
                self.expire_body(now, &times);
                // Soon at first: most exchanges are over by then, and the connection is silent.
                Due::Wait(elapsed.clamp(park_after, LOOK).min(times.body))
            }
        }
    }

    fn expire_body(&self, now: Instant, times: &Times) {
        let mut body = self.body.borrow_mut();
        let earned = Duration::from_secs(body.received / times.body_min_rate.max(1));
        if body.since.is_some() && body.waiting(now) >= times.body.saturating_add(earned) {
            body.expired = true;
            body.reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_fall_together_and_not_too_soon() {
        let now = Instant::now();
        let mut looks: Vec<_> = (0..1000u64)
            .map(|number| {
                let due = now + Duration::from_micros(number * 100);
                let look = Clock::next_look(due, LOOK);
                assert!((due + LOOK..due + LOOK + GRID).contains(&look));
                look
            })
            .collect();
        looks.dedup();
        assert!((5..=6).contains(&looks.len()), "{}", looks.len());
    }
}
