use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use brim_service::Wake;
use brim_wire::link::{
    Cancel, Class, Content, Frame, GoAway, GoAwayReason, HEADER_BYTES, Hello, LinkError, Numbered,
    Reason, data_header,
};
use bytes::Bytes;
use tokio::sync::Notify;

use super::CREDIT;
use super::call::{Call, Failure, Follows, misplaced};
use super::headers::LastHeaders;
use super::open::Open;
use crate::client::{Presence, Watcher};

/// Bytes that wait to be written before those who would add more have to wait.
const HIGH: usize = 256 * 1024;
/// Those who came last to wait for room, among whom one is looked for.
const RECENT: usize = 16;

/// One connection to a gateway and the exchanges on it. A task ([`super::drive`]) moves its bytes; all
/// that is given to it until that task has its turn leaves in one write.
pub(in crate::apps::handler) struct Line {
    /// The gateway's name for itself, and where it is.
    peer: String,
    /// What it takes.
    credit: u32,
    payload: usize,
    exchanges: usize,
    out: RefCell<Vec<u8>>,
    /// Bytes that were ever put into `out`, and those that were written.
    queued: Cell<u64>,
    written: Cell<u64>,
    task: Wake,
    /// Those who wait for room in `out`.
    crowd: RefCell<Vec<Waker>>,
    calls: RefCell<Numbered<u64, Rc<Call>>>,
    /// The exchange that was begun last.
    last: Cell<u64>,
    last_headers: RefCell<LastHeaders>,
    phase: Cell<Phase>,
    closing: Notify,
    /// When the gateway said something last.
    heard: Cell<Instant>,
    /// It has not answered a ping.
    is_silent: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// No new exchanges.
    Closing,
    Over,
}

/// Why an exchange was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::apps::handler) enum NotBegun {
    /// The gateway has as many as it takes.
    Full,
    /// The head is longer than the gateway takes.
    TooLong,
}

impl Line {
    pub(super) fn new(hello: &Hello<'_>, path: &Path) -> Self {
        Self {
            peer: format!("{} at {}", String::from_utf8_lossy(hello.name), path.display()),
            credit: hello.credit,
            payload: hello.payload as usize,
            exchanges: hello.exchanges as usize,
            out: RefCell::default(),
            queued: Cell::new(0),
            written: Cell::new(0),
            task: Wake::default(),
            crowd: RefCell::default(),
            calls: RefCell::default(),
            last: Cell::new(0),
            last_headers: RefCell::default(),
            phase: Cell::new(Phase::Open),
            closing: Notify::new(),
            heard: Cell::new(Instant::now()),
            is_silent: Cell::new(false),
        }
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// Whether it takes new exchanges.
    pub(super) fn is_open(&self) -> bool {
        self.phase.get() == Phase::Open
    }

    /// Whether its work is done.
    pub(super) fn is_done(&self) -> bool {
        self.phase.get() != Phase::Open && self.calls.borrow().is_empty()
    }

    /// Waits until it takes no new exchanges.
    pub(super) async fn closes(&self) {
        let closing = self.closing.notified();
        if self.is_open() {
            closing.await;
        }
    }

    /// Nobody has new exchanges for it.
    pub(super) fn retire(&self) {
        if self.is_open() {
            let away = GoAway { reason: GoAwayReason::Stops, last: 0, text: b"not used any more" };
            self.send(0, Content::GoAway(away));
        }
        self.close();
        self.wake();
    }

    fn close(&self) {
        if self.is_open() {
            self.phase.set(Phase::Closing);
            self.closing.notify_waiters();
        }
    }

    /// Whether more can be given to it.
    pub(super) fn has_room(&self) -> bool {
        self.out.borrow().len() < HIGH
    }

    /// Waits for room for more, or for its end.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_room() || self.phase.get() == Phase::Over {
            return Poll::Ready(());
        }
        let mut crowd = self.crowd.borrow_mut();
        // Somebody who is woken for other reasons asks again and again.
        if !crowd.iter().rev().take(RECENT).any(|waker| waker.will_wake(cx.waker())) {
            crowd.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Begins an exchange of this client; `write` appends its request.
    pub(in crate::apps::handler) fn begin(
        self: &Rc<Self>,
        class: Class,
        client: &Rc<Presence>,
        write: impl FnOnce(&mut Vec<u8>, u64) -> Result<(), LinkError>,
    ) -> Result<Open, NotBegun> {
        let mut calls = self.calls.borrow_mut();
        if self.exchanges > 0 && calls.len() >= self.exchanges {
            return Err(NotBegun::Full);
        }
        let id = self.last.get() + 1;
        let start = self.queued.get();
        let mut out = self.out.borrow_mut();
        let before = out.len();
        write(&mut out, id).map_err(|_| NotBegun::TooLong)?;
        let length = out.len() - before;
        if length > self.payload + HEADER_BYTES {
            out.truncate(before);
            return Err(NotBegun::TooLong);
        }
        self.queued.set(start + length as u64);
        self.last.set(id);
        let call = Rc::new(Call::new(id, start, class, client.clone(), (self.credit, CREDIT)));
        calls.insert(id, call.clone());
        drop((calls, out));
        self.wake();
        Ok(Open::new(self.clone(), call))
    }

    /// The longest payload that the gateway takes.
    pub(super) fn payload(&self) -> usize {
        self.payload
    }

    /// Forgets an exchange: what still comes for it is overlooked.
    pub(super) fn forget(&self, id: u64) {
        self.calls.borrow_mut().remove(&id);
    }

    /// Puts a piece of a body with the others.
    pub(super) fn send_data(&self, id: u64, bytes: &[u8], end: bool) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut out = self.out.borrow_mut();
        out.extend_from_slice(&data_header(id, length, end, false));
        out.extend_from_slice(bytes);
        self.queued.set(self.queued.get() + (HEADER_BYTES + bytes.len()) as u64);
        drop(out);
        self.wake();
    }

    /// Puts a frame with the others.
    pub(super) fn send(&self, exchange: u64, content: Content<'_>) {
        if self.phase.get() == Phase::Over {
            return;
        }
        let mut out = self.out.borrow_mut();
        let before = out.len();
        // Nothing of what is sent here can be too long.
        let frame = Frame { exchange, content };
        if frame.append(&mut out).is_ok() {
            self.queued.set(self.queued.get() + (out.len() - before) as u64);
        }
        drop(out);
        self.wake();
    }

    /// Answers a ping, unless much waits to be written: the gateway has not read what came before.
    pub(super) fn answer_ping(&self, context: u64) {
        if self.has_room() {
            self.send(0, Content::Ping { context, is_answer: true });
        }
    }

    pub(super) fn ping(&self, context: u64) {
        self.send(0, Content::Ping { context, is_answer: false });
    }

    /// Tells the gateway that it broke a rule.
    pub(super) fn refuse(&self, error: &LinkError) {
        let text = error.to_string();
        let away = GoAway { reason: GoAwayReason::Broke, last: 0, text: text.as_bytes() };
        self.send(0, Content::GoAway(away));
    }

    /// When the gateway said something last.
    pub(super) fn heard(&self) -> Instant {
        self.heard.get()
    }

    /// The gateway has said something.
    pub(super) fn hear_something(&self, now: Instant) {
        self.heard.set(now);
        self.is_silent.set(false);
    }

    /// It does not answer.
    pub(super) fn give_up(&self) {
        self.is_silent.set(true);
        self.wake();
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_silent.get()
    }

    /// Lets the task have a turn.
    pub(super) fn wake(&self) {
        self.task.wake();
    }

    /// The task waits for something to write.
    pub(super) fn keep_task(&self, cx: &mut Context<'_>) {
        self.task.keep(cx);
    }

    /// Gives what is to be written, for a buffer in which everything was.
    pub(super) fn swap_out(&self, written: &mut Vec<u8>) {
        std::mem::swap(&mut *self.out.borrow_mut(), written);
        let crowd = std::mem::take(&mut *self.crowd.borrow_mut());
        crowd.into_iter().for_each(Waker::wake);
    }

    /// So much more was written.
    pub(super) fn wrote(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
    }

    fn call(&self, id: u64) -> Result<Option<Rc<Call>>, LinkError> {
        let call = self.calls.borrow().get(&id).cloned();
        self.known(id, call)
    }

    /// The exchange whose last frame this is.
    fn last_of(&self, id: u64) -> Result<Option<Rc<Call>>, LinkError> {
        let call = self.calls.borrow_mut().remove(&id);
        self.known(id, call)
    }

    fn known(&self, id: u64, call: Option<Rc<Call>>) -> Result<Option<Rc<Call>>, LinkError> {
        // If there is none any more, it is over, and the gateway did not know yet.
        if call.is_some() || id <= self.last.get() { Ok(call) } else { Err(misplaced()) }
    }

    /// A data frame of the gateway.
    pub(super) fn data(&self, id: u64, bytes: Bytes, follows: Follows) -> Result<(), LinkError> {
        let call = match follows {
            Follows::End { .. } => self.last_of(id)?,
            Follows::Another | Follows::Rest => self.call(id)?,
        };
        call.map_or(Ok(()), |call| call.data(bytes, follows))
    }

    /// Any other frame of the gateway.
    pub(super) fn hear(self: &Rc<Self>, frame: &Frame<'_>) -> Result<(), LinkError> {
        let id = frame.exchange;
        match &frame.content {
            Content::Ping { context, is_answer: false } => self.answer_ping(*context),
            Content::GoAway(away) => self.hear_go_away(away),
            Content::Ping { .. } | Content::Hello(_) => {}
            Content::Watch => self.watch(id)?,
            content => {
                let Some(call) = self.call(id)? else { return Ok(()) };
                match content {
                    Content::Response { head, headers, end, close } => {
                        let end = end.then_some(*close);
                        if end.is_some() {
                            self.calls.borrow_mut().remove(&id);
                        }
                        let headers = self.last_headers.borrow_mut().map(headers);
                        call.answer(head, headers, end, false)?;
                    }
                    Content::Upgrade { head, headers } => {
                        let headers = self.last_headers.borrow_mut().map(headers);
                        call.answer(head, headers, None, true)?;
                    }
                    Content::Credit(bytes) => call.grant(*bytes)?,
                    Content::Touch => call.touch(),
                    Content::Cancel(cancel) => {
                        self.calls.borrow_mut().remove(&id);
                        call.fail(Failure::Cancelled(*cancel));
                    }
                    _ => return Err(misplaced()),
                }
            }
        }
        Ok(())
    }

    /// The gateway wants to know when the client of an exchange is gone.
    fn watch(self: &Rc<Self>, id: u64) -> Result<(), LinkError> {
        match self.call(id)? {
            Some(call) => {
                let line: Rc<dyn Watcher> = self.clone();
                call.client.watch(Rc::downgrade(&line), id);
            }
            // We cannot tell any more whose it was.
            None => self.is_gone(id),
        }
        Ok(())
    }

    fn hear_go_away(&self, away: &GoAway<'_>) {
        let text = String::from_utf8_lossy(away.text);
        if away.reason == GoAwayReason::Stops {
            tracing::info!(peer = %self.peer, %text, "the gateway goes away");
        } else {
            tracing::warn!(peer = %self.peer, %text, reason = ?away.reason, "the gateway ends the link");
        }
        self.close();
        let untaken: Vec<_> = {
            let mut calls = self.calls.borrow_mut();
            let ids: Vec<_> = calls.keys().copied().filter(|id| *id > away.last).collect();
            ids.iter().filter_map(|id| calls.remove(id)).collect()
        };
        untaken.iter().for_each(|call| call.fail(Failure::Lost { unread: true }));
    }

    /// The connection is gone.
    pub(super) fn lose(&self) {
        self.close();
        self.phase.set(Phase::Over);
        let calls = std::mem::take(&mut *self.calls.borrow_mut());
        let written = self.written.get();
        for call in calls.values() {
            call.fail(Failure::Lost { unread: call.start >= written });
        }
        self.out.take();
        self.crowd.take().into_iter().for_each(Waker::wake);
    }
}

impl Watcher for Line {
    fn is_gone(&self, exchange: u64) {
        let cancel = Cancel { reason: Reason::ClientLeft, retry_after: 0 };
        self.send(exchange, Content::Cancel(cancel));
    }
}
