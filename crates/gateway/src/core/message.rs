//! What clients send in WebSockets, and as socket messages after the first.

use brim_wire::link::{Class, Reason};
use brim_wire::websocket::Flags;

use super::Core;
use super::dispatch::Wish;
use super::end::Notice;
use super::exchange::Message;
use super::link::BrokenLink;
use super::peer::Kind;
use super::request::About;
use super::start::why;

impl Core {
    /// A message, or a piece of one, which cost so much credit.
    pub(super) fn client_message(
        &mut self,
        id: u32,
        (flags, path, bytes, more): (u8, &[u8], &[u8], bool),
        cost: usize,
    ) -> Result<(), BrokenLink> {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return Ok(()) };
        if exchange.class == Class::Http {
            return Err(BrokenLink::NoMessages(exchange.number));
        }
        exchange.receive.received(cost)?;
        let handler = self.handlers.get(exchange.handler);
        let limit = handler.map_or(0, |handler| handler.config.max_message);
        // Pings, pongs and the close frame come whole, perhaps between the pieces of a message.
        let is_control = exchange.class == Class::WebSocket && Flags(flags).opcode() >= 8;
        let begun = exchange.message.as_ref().filter(|_| !is_control);
        let known = begun.map_or(0, |message| message.bytes.len());
        if known + bytes.len() > limit {
            let what = "a client's message is longer than max_message";
            self.fail(id, Reason::TooLarge, &what, Notice::Yes);
            return Ok(());
        }
        if !more && begun.is_none() {
            self.pass_message(id, (flags, path, bytes), cost);
            return Ok(());
        }
        let message = exchange.message.get_or_insert_with(|| {
            Box::new(Message { flags, path: path.to_vec(), bytes: Vec::new() })
        });
        message.bytes.extend_from_slice(bytes);
        self.held += bytes.len();
        if !more && let Some(message) = exchange.message.take() {
            self.held -= message.bytes.len();
            self.pass_message(id, (message.flags, &message.path, &message.bytes), cost);
        } else {
            // Else a message longer than the window would never be whole.
            self.grant(id, cost);
        }
        Ok(())
    }

    fn pass_message(&mut self, id: u32, (flags, path, bytes): (u8, &[u8], &[u8]), credit: usize) {
        self.counters.message_count.incr();
        let mut sent = Ok(());
        self.with_head(id, |core, parts| {
            let about = match parts.0.class {
                Class::Json | Class::Xml => About::Socket(path),
                _ => About::Message(Flags(flags)),
            };
            let wish = Wish { id, kind: Kind::More, credit };
            sent = core.dispatch(wish, |pen, out| pen.request(out, id, parts, (about, bytes)));
        });
        if let Err(reason) = sent {
            self.fail(id, reason, &why(reason), Notice::Yes);
        }
    }
}
