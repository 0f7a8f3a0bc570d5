//! How exchanges begin, and their bodies, as long as they go to nobody but us.

use std::collections::VecDeque;

use brim_config::ConnId;
use brim_wire::link::{
    Class, Content, Headers, Reason, ReceiveCredit, RequestHead, SendCredit, parse_request,
};

use super::answer::Answer;
use super::dispatch::Wish;
use super::end::Notice;
use super::exchange::{Body, Exchange};
use super::ids::Given;
use super::link::{BrokenLink, LIMITS};
use super::peer::Kind;
use super::request::About;
use super::{Core, Key, RETRY_AFTER, WINDOW};

impl Core {
    /// A front end begins an exchange.
    pub(super) fn begin(
        &mut self,
        key: Key,
        (number, payload): (u64, &[u8]),
        (head, headers): (&RequestHead<'_>, &Headers<'_>),
        end: bool,
    ) {
        self.counters.request_count.incr();
        let found = self.handlers.iter().position(|handler| {
            handler.is_served && handler.config.name.as_bytes() == head.handler
        });
        let Some(place) = found else {
            let name = String::from_utf8_lossy(head.handler);
            let what =
                format_args!("a front end asks for the handler {name:?}, which there is not");
            self.fault(Reason::UnknownHandler, usize::MAX, &what);
            return self.reject(key, number, Reason::UnknownHandler);
        };
        if let Err(reason) = self.admit(key, place) {
            self.fault(reason, place, &why(reason));
            return self.reject(key, number, reason);
        }
        let given = self.id_of(key, head, place);
        let id = given.id();
        self.enter(id, key, (number, head), place);
        if let Given::First(id) = given {
            self.watch(id, key, number);
        }
        if head.class != Class::Http || !end {
            self.keep_head(id, payload);
        }
        match head.class {
            Class::Http if end => self.request(id, (head, headers), About::Request, b""),
            Class::Http => self.begin_body(id, (head, headers)),
            Class::WebSocket => {
                self.request(id, (head, headers), About::Request, b"");
                if let Some(exchange) = self.exchanges.get_mut(&id).filter(|_| !end) {
                    exchange.body = Body::Discard;
                }
            }
            Class::Json | Class::Xml => {
                let limit = self.config(id).map_or(0, |config| config.max_message);
                self.collect(id, limit, head.length);
                if end {
                    let _ = self.body(id, b"", true);
                }
            }
        }
    }

    /// Puts a new exchange into the books.
    fn enter(&mut self, id: u32, key: Key, (number, head): (u64, &RequestHead<'_>), place: usize) {
        let (Some(link), Some(handler)) = (self.links.get_mut(&key), self.handlers.get_mut(place))
        else {
            return;
        };
        handler.requests.incr();
        handler.unanswered += 1;
        link.exchanges.insert(number, id);
        let is_http = matches!(head.class, Class::Http | Class::WebSocket);
        let exchange = Exchange {
            began: self.now,
            link: key,
            number,
            handler: place,
            class: head.class,
            is_head_method: head.method == b"HEAD",
            peer: None,
            is_outstanding: false,
            is_unanswered: true,
            is_queued: false,
            deadline: None,
            receive: ReceiveCredit::new(WINDOW),
            send: SendCredit::new(link.theirs.as_ref().map_or(0, |theirs| theirs.credit)),
            body: Body::Over,
            head: None,
            answer: if is_http { Answer::new() } else { Answer::raw() },
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            untold: 0,
            touched: 0,
            message: None,
        };
        self.exchanges.insert(id, exchange);
    }

    /// Whether one more may begin.
    fn admit(&self, key: Key, place: usize) -> Result<(), Reason> {
        let open = self.links.get(&key).map_or(0, |link| link.exchanges.len());
        let Some(handler) = self.handlers.get(place) else { return Err(Reason::UnknownHandler) };
        if open >= self.section.max_exchanges
            || handler.unanswered >= handler.config.max_outstanding
            || self.is_full()
        {
            return Err(Reason::Overload);
        }
        if handler.senders.is_empty() && handler.config.handler_wait.is_zero() {
            return Err(Reason::NoHandler);
        }
        Ok(())
    }

    fn reject(&mut self, key: Key, number: u64, reason: Reason) {
        let retry_after = match reason {
            Reason::NoHandler | Reason::Overload => RETRY_AFTER,
            _ => 0,
        };
        if let Some(link) = self.links.get_mut(&key) {
            link.cancel(number, reason, retry_after);
            self.list(key);
        }
    }

    /// The id that handlers get: a new one, or that of the client's connection if nothing else has it now.
    fn id_of(&mut self, key: Key, head: &RequestHead<'_>, place: usize) -> Given {
        let exchanges = &self.exchanges;
        let is_connection = self
            .handlers
            .get(place)
            .is_some_and(|handler| handler.config.conn_id == ConnId::Connection);
        // Requests of HTTP/2 go side by side.
        let connection = (is_connection && head.version != 20).then_some((key, head.connection));
        self.ids.give(connection, |id| exchanges.contains_key(&id))
    }

    /// Has the front end tell when the client's connection of an exchange is gone.
    fn watch(&mut self, id: u32, key: Key, number: u64) {
        let Some(link) = self.links.get_mut(&key).filter(|link| link.speaks_version_2()) else {
            return;
        };
        link.frame(number, Content::Watch);
        self.ids.watch(id, number);
        self.list(key);
    }

    /// Keeps a request's head, which is needed again.
    fn keep_head(&mut self, id: u32, payload: &[u8]) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            self.held += payload.len();
            exchange.head = Some(payload.into());
        }
    }

    fn collect(&mut self, id: u32, limit: usize, length: Option<u64>) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.body = Body::Inline { bytes: Vec::new(), limit, length };
        }
    }

    /// A request with a body: inline if it is short enough, else an upload.
    fn begin_body(&mut self, id: u32, parts: (&RequestHead<'_>, &Headers<'_>)) {
        let Some(config) = self.config(id) else { return };
        let limit = config.max_inline;
        let length = parts.0.length;
        if length.is_some_and(|length| length > limit as u64) {
            self.begin_upload(id, parts, &[]);
        } else {
            self.collect(id, limit, length);
        }
    }

    /// A piece of a body has come.
    pub(super) fn body(&mut self, id: u32, bytes: &[u8], end: bool) -> Result<(), BrokenLink> {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return Ok(()) };
        exchange.receive.received(bytes.len())?;
        match &mut exchange.body {
            Body::Over => return Err(BrokenLink::NoMoreBody(exchange.number)),
            Body::Discard => {
                if end {
                    exchange.body = Body::Over;
                }
                self.grant(id, bytes.len());
            }
            Body::File(_) => self.file_piece(id, bytes, end),
            Body::Stream(_) => self.stream_piece(id, bytes, end),
            Body::Inline { bytes: known, limit, length } => {
                let sum = known.len() + bytes.len();
                if length.is_some_and(|length| sum as u64 > length || end && length != sum as u64) {
                    self.end(id, Some(Reason::GatewayFailed), Notice::Yes);
                    return Ok(());
                }
                if sum > *limit {
                    self.overlong(id, bytes, end);
                } else if end && known.is_empty() {
                    exchange.body = Body::Over;
                    self.whole(id, bytes);
                    self.grant(id, bytes.len());
                } else {
                    known.extend_from_slice(bytes);
                    self.held += bytes.len();
                    let whole = end.then(|| std::mem::take(known));
                    if let Some(whole) = whole {
                        self.held -= whole.len();
                        exchange.body = Body::Over;
                        self.whole(id, &whole);
                    }
                    self.grant(id, bytes.len());
                }
            }
        }
        Ok(())
    }

    /// A body of unknown length has turned out to be long.
    fn overlong(&mut self, id: u32, bytes: &[u8], end: bool) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let Body::Inline { bytes: mut known, .. } =
            std::mem::replace(&mut exchange.body, Body::Discard)
        else {
            return;
        };
        self.held -= known.len();
        known.extend_from_slice(bytes);
        if exchange.class != Class::Http {
            let what = "a client's message is longer than max_message";
            return self.fail(id, Reason::TooLarge, &what, Notice::Yes);
        }
        self.with_head(id, |core, parts| core.begin_upload(id, parts, &known));
        match self.exchanges.get(&id).map(|exchange| &exchange.body) {
            Some(Body::File(_)) if end => self.file_piece(id, &[], true),
            Some(Body::Stream(_)) if end => self.stream_piece(id, &[], true),
            _ => {}
        }
    }

    /// A body or a first socket message is all there.
    fn whole(&mut self, id: u32, body: &[u8]) {
        self.with_head(id, |core, parts| {
            let about = match parts.0.class {
                Class::Json | Class::Xml => About::Socket(parts.0.target),
                _ => About::Request,
            };
            core.request(id, parts, about, body);
        });
        if let Some(exchange) = self.exchanges.get_mut(&id)
            && exchange.class == Class::Http
            && let Some(head) = exchange.head.take()
        {
            self.held -= head.len();
        }
    }

    /// Does something with the head that was kept.
    pub(super) fn with_head(
        &mut self,
        id: u32,
        act: impl FnOnce(&mut Self, (&RequestHead<'_>, &Headers<'_>)),
    ) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let Some(head) = exchange.head.take() else { return };
        let bytes = head.len();
        if let Ok((parsed, headers)) = parse_request(&head, LIMITS.headers) {
            act(self, (&parsed, &headers));
        }
        // It may be over by now, and its memory was not counted off without its head.
        match self.exchanges.get_mut(&id) {
            Some(exchange) => exchange.head = Some(head),
            None => self.held = self.held.saturating_sub(bytes),
        }
    }

    /// Sends what a handler has to answer; if nobody can take it, the exchange is over.
    pub(super) fn request(
        &mut self,
        id: u32,
        parts: (&RequestHead<'_>, &Headers<'_>),
        about: About<'_>,
        body: &[u8],
    ) {
        let wish = Wish { id, kind: Kind::Request, credit: 0 };
        let sent = self.dispatch(wish, |pen, out| {
            pen.request(out, id, parts, (about, body));
        });
        if let Err(reason) = sent {
            self.fail(id, reason, &why(reason), Notice::Yes);
        }
    }
}

/// For the log.
pub(super) fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::NoHandler => "no handler is connected: 503",
        Reason::HandlerTimeout => "no handler has answered in time: 504",
        Reason::HandlerLeft => "a handler left before it had answered: 502",
        Reason::TooLarge => "a body is too large for the handler: 413",
        Reason::GatewayFailed => "the gateway failed: 500",
        _ => "too much waits for handlers: 503",
    }
}
