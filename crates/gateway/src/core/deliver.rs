//! What handlers say: whom it is for, and how it goes on to the front end.

use brim_wire::link::{Class, Reason};
use brim_wire::reply::{self, Body as Wanted, Control, Extended};
use brim_wire::socket_message;

use super::answer::{Answer, AnswerError, Fed, LastHead, Sink};
use super::dispatch::Wish;
use super::end::Notice;
use super::exchange::{Exchange, Item};
use super::link::Link;
use super::peer::Kind;
use super::repeat::Repeat;
use super::{Core, FileOrder};

/// Bytes of a file that are read at a time.
const FILE_PIECE: usize = 64 * 1024;

impl Core {
    /// A message of a handler.
    pub(super) fn reply(&mut self, place: usize, message: &[u8]) {
        self.counters.reply_count.incr();
        let Some(handler) = self.handlers.get(place) else { return };
        let parsed = match reply::parse(message, reply::TARGETS) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.counters.bad_reply_count.incr();
                return self.tell_of_reply(place, &format_args!("a message is no reply: {error}"));
            }
        };
        let is_ours = parsed.sender.as_str() == handler.config.send_ident
            && message.starts_with(handler.config.recv_ident.as_bytes());
        if !is_ours {
            let (found, prefix) = (parsed.sender.as_str(), handler.config.recv_ident.as_str());
            self.counters.foreign_reply_count.incr();
            let what = format_args!(
                "a reply has the sender {found}, expected {} and the prefix {prefix:?}",
                handler.config.send_ident
            );
            self.tell_of_reply(place, &what);
            return;
        }
        self.counters.delivery_count.add(parsed.targets.count() as u64);
        let mut repeat = (parsed.targets.count() > 1).then(Repeat::default);
        for id in parsed.targets.iter() {
            match self.exchanges.get(&id) {
                None => {
                    self.counters.late_reply_count.incr();
                    match parsed.body {
                        // One that keeps lists of clients did not see us begin anew. A client that is
                        // there, and waits for nothing, is none to tell of.
                        Wanted::Data(_) if !self.ids.is_watched(id) => {
                            self.tell_of(id, place, None);
                        }
                        Wanted::Close => self.ids.part(id, place),
                        _ => {}
                    }
                }
                Some(exchange) if exchange.handler != place => {
                    self.counters.foreign_reply_count.incr();
                    self.tell_of_reply(place, &"a reply is for another handler's client");
                }
                Some(_) => self.deliver(id, &parsed.body, &mut repeat),
            }
        }
    }

    /// Tells of a reply that reaches nobody.
    fn tell_of_reply(&self, place: usize, what: &dyn std::fmt::Display) {
        if let Some(held_back) = self.warnings.replies.pass(self.now) {
            let handler = self.handlers.get(place).map(|handler| handler.config.name.as_str());
            tracing::warn!(handler, held_back, "{what}");
        }
    }

    fn deliver(&mut self, id: u32, wanted: &Wanted<'_>, repeat: &mut Option<Repeat>) {
        match wanted {
            Wanted::Data(bytes) => self.answer(id, bytes, repeat),
            Wanted::Close => {
                if let Some(exchange) = self.exchanges.get_mut(&id) {
                    exchange.waiting.push_back(Item::Close);
                    self.pump(id);
                }
            }
            Wanted::Extended(Extended::Control(control)) => self.control(id, *control),
            Wanted::Extended(Extended::SendFile(path)) => self.send_file(id, path),
            Wanted::Extended(Extended::Unknown { key, .. }) => {
                self.counters.bad_reply_count.incr();
                if let Some(held_back) = self.warnings.replies.pass(self.now) {
                    let key = key.escape_ascii().to_string();
                    tracing::warn!(key, held_back, "an extended reply with an unknown key");
                }
            }
        }
    }

    fn control(&mut self, id: u32, control: Control) {
        if control.cancel {
            return self.end(id, Some(Reason::HandlerCancelled), Notice::No);
        }
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let timeout = self.handlers.get(exchange.handler);
        let timeout = timeout.map(|handler| handler.config.handler_timeout);
        if let (Some(deadline), Some(timeout)) = (exchange.deadline.as_mut(), timeout) {
            *deadline = self.now + timeout;
        }
        if control.keep_alive
            && let Some(link) = self.links.get_mut(&exchange.link)
        {
            link.touch(exchange.number, &mut exchange.touched);
            let key = exchange.link;
            self.list(key);
        }
        if let Some(credits) = control.credits {
            self.upload_credits(id, credits);
        }
    }

    /// Bytes for a client: they go on at once, or wait behind others.
    fn answer(&mut self, id: u32, bytes: &[u8], repeat: &mut Option<Repeat>) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let mut coded = Vec::new();
        let bytes = match exchange.class {
            Class::Http | Class::WebSocket => bytes,
            Class::Json | Class::Xml => {
                let is_raw = self.handlers.get(exchange.handler);
                let is_raw = is_raw.is_some_and(|handler| handler.config.raw_payload);
                socket_message::append_reply(&mut coded, bytes, is_raw);
                &coded
            }
        };
        let payload = bytes.len() as u64;
        let mut input = bytes;
        if exchange.waiting.is_empty() {
            let Some(link) = self.links.get_mut(&exchange.link) else { return };
            let last = self.handlers.get_mut(exchange.handler).map(|one| &mut one.last_head);
            let fed = match repeat {
                None => feed(exchange, link, last, &mut input),
                Some(repeat) => match repeat.again(exchange, link) {
                    Some(fed) => Ok(fed),
                    None => repeat.first(exchange, link, |exchange, link| {
                        feed(exchange, link, last, &mut input)
                    }),
                },
            };
            let blocked = self.fed(id, fed, payload);
            if !blocked {
                return;
            }
        }
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let Some(handler) = self.handlers.get(exchange.handler) else { return };
        let limit = match usize::try_from(handler.config.download_credits) {
            Ok(0) | Err(_) => handler.config.max_waiting,
            Ok(credits) => credits,
        };
        if exchange.waiting_bytes + input.len() > limit {
            let what = "a client is too slow for what its handler sends: closed";
            return self.fail(id, Reason::Overload, &what, Notice::Yes);
        }
        self.held += input.len();
        exchange.waiting_bytes += input.len();
        exchange.waiting.push_back(Item::Data { bytes: input.to_vec(), gone: 0, payload });
        if self.is_full() {
            self.shed();
        }
    }

    /// Ends the exchange for which most waits.
    fn shed(&mut self) {
        let most = self.exchanges.iter().max_by_key(|(_, exchange)| exchange.waiting_bytes);
        if let Some(id) = most.map(|(id, _)| *id) {
            let what = "max_memory is reached, the client for whom most waits is closed";
            self.fail(id, Reason::Overload, &what, Notice::Yes);
        }
    }

    /// Acts on what became of bytes; whether the client has to take something first.
    fn fed(&mut self, id: u32, fed: Result<Fed, AnswerError>, payload: u64) -> bool {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return false };
        let key = exchange.link;
        if fed != Ok(Fed::Ended) && exchange.is_unanswered && exchange.answer.has_begun() {
            self.answered(id);
        }
        self.list(key);
        match fed {
            Ok(Fed::Blocked) => return true,
            Ok(Fed::All) => self.took_payload(id, payload),
            Ok(Fed::Ended) => self.finish(id),
            Err(error) => {
                let what = format_args!("an answer cannot be understood: {error}");
                self.fail(id, Reason::HandlerBroke, &what, Notice::Yes);
            }
        }
        false
    }

    /// A handler's payload has gone on as a whole: tells it so if it wants to know.
    fn took_payload(&mut self, id: u32, payload: u64) {
        if self.config(id).is_some_and(|config| config.download_credits > 0)
            && let Some(exchange) = self.exchanges.get_mut(&id)
        {
            exchange.untold += payload;
            self.tell_credits(id);
        }
    }

    /// Tells a handler how much of an exchange has gone on; later if it has no room: it may wait for nothing else.
    pub(super) fn tell_credits(&mut self, id: u32) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let bytes = exchange.untold;
        if bytes == 0 {
            return;
        }
        let peer = exchange.peer.and_then(|peer| self.peers.get_mut(&peer));
        if let Some(peer) = peer.filter(|peer| !peer.has_room()) {
            peer.untold.insert(id);
        } else {
            exchange.untold = 0;
            self.counters.notice_count.incr();
            let wish = Wish { id, kind: Kind::Notice, credit: 0 };
            if self.dispatch(wish, |pen, out| pen.credits(out, id, bytes)).is_err()
                && let Some(exchange) = self.exchanges.get_mut(&id)
            {
                // The next notice tells of it.
                exchange.untold = bytes;
            }
        }
    }

    /// Sends what waits, as far as the client takes it.
    pub(super) fn pump(&mut self, id: u32) {
        loop {
            let Some(exchange) = self.exchanges.get_mut(&id) else { return };
            let Some(link) = self.links.get_mut(&exchange.link) else { return };
            let Some(mut item) = exchange.waiting.pop_front() else { return };
            match &mut item {
                Item::Data { bytes, gone, payload } => {
                    let payload = *payload;
                    let mut input = bytes.get(*gone..).unwrap_or_default();
                    let before = input.len();
                    let fed = feed(exchange, link, None, &mut input);
                    let sent = before - input.len();
                    *gone += sent;
                    exchange.waiting_bytes -= sent;
                    self.held -= sent;
                    if fed == Ok(Fed::Blocked) {
                        exchange.waiting.push_front(item);
                    } else if fed == Ok(Fed::Ended) {
                        exchange.waiting_bytes -= before - sent;
                        self.held -= before - sent;
                    }
                    if self.fed(id, fed, payload) {
                        return;
                    }
                }
                Item::Close => {
                    let Exchange { answer, send, number, .. } = exchange;
                    let closed = close(answer, *number, link, send);
                    let (key, place) = (exchange.link, exchange.handler);
                    self.list(key);
                    match closed {
                        Ok(true) => self.finish_for_good(id, place),
                        Ok(false) => {
                            self.end(id, Some(Reason::HandlerCancelled), Notice::No);
                        }
                        Err(error) => {
                            let what = format_args!("an answer is not whole: {error}");
                            self.fail(id, Reason::HandlerBroke, &what, Notice::No);
                        }
                    }
                    return;
                }
                Item::File { ticket, is_asked } => {
                    let ticket = *ticket;
                    if !*is_asked && exchange.send.left() > 0 {
                        *is_asked = true;
                        self.orders.push(FileOrder::Read { ticket, bytes: FILE_PIECE });
                    }
                    exchange.waiting.push_front(item);
                    return;
                }
            }
        }
    }

    /// A handler wants a file sent.
    fn send_file(&mut self, id: u32, path: &[u8]) {
        let Some(root) = self.config(id).map(|config| config.sendfile_root.clone()) else { return };
        let Some(root) = root else {
            let what = "a handler wants a file sent, and there is no sendfile_root";
            return self.fail(id, Reason::HandlerBroke, &what, Notice::No);
        };
        let ticket = self.ticket(id);
        self.orders.push(FileOrder::Open { ticket, root, path: path.to_vec() });
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.waiting.push_back(Item::File { ticket, is_asked: false });
            self.pump(id);
        }
    }

    /// Bytes of a file have come, none at its end.
    pub(super) fn file_read(&mut self, id: u32, ticket: u64, bytes: Vec<u8>) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        match exchange.waiting.front_mut() {
            Some(Item::File { ticket: front, .. }) if *front == ticket && bytes.is_empty() => {
                exchange.waiting.pop_front();
                self.close_file(ticket, false);
            }
            Some(Item::File { ticket: front, is_asked }) if *front == ticket => {
                *is_asked = false;
                exchange.waiting_bytes += bytes.len();
                self.held += bytes.len();
                exchange.waiting.push_front(Item::Data { bytes, gone: 0, payload: 0 });
            }
            _ => return,
        }
        self.pump(id);
    }
}

fn feed(
    exchange: &mut Exchange,
    link: &mut Link,
    last: Option<&mut LastHead>,
    input: &mut &[u8],
) -> Result<Fed, AnswerError> {
    let is_message = matches!(exchange.class, Class::Json | Class::Xml);
    let has_parts = is_message && link.speaks_version_2();
    let mut sink = Sink {
        out: link.out.buffer(),
        exchange: exchange.number,
        credit: &mut exchange.send,
        payload: link.theirs.as_ref().map_or(0, |theirs| theirs.payload),
        is_handshake: exchange.class == Class::WebSocket,
        is_head_method: exchange.is_head_method,
        has_parts,
        last,
    };
    exchange.answer.feed(input, &mut sink)
}

fn close(
    answer: &mut Answer,
    number: u64,
    link: &mut Link,
    credit: &mut brim_wire::link::SendCredit,
) -> Result<bool, AnswerError> {
    let mut sink = Sink {
        out: link.out.buffer(),
        exchange: number,
        credit,
        payload: usize::MAX,
        is_handshake: false,
        is_head_method: false,
        has_parts: false,
        last: None,
    };
    answer.close(&mut sink)
}
