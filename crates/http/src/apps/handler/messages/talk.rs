use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use brim_wire::link::Class;
use brim_wire::socket_message::Kind;

use crate::apps::handler::Handler;
use crate::apps::handler::link::{Open, message_bytes};

/// A message on its way to its handler. Its bytes are the first ones of the input.
pub(super) struct Under {
    pub(super) kind: Kind,
    pub(super) route: usize,
    pub(super) path: Range<usize>,
    pub(super) body: Range<usize>,
    /// Bytes of the input that belong to it.
    pub(super) length: usize,
}

impl Under {
    /// What it makes of an exchange that begins with it.
    pub(super) fn class(&self) -> Class {
        match self.kind {
            Kind::Json => Class::Json,
            Kind::Xml => Class::Xml,
        }
    }
}

/// A handler that this connection talks to.
pub(super) struct Talk {
    pub(super) handler: Rc<Handler>,
    pub(super) kind: Kind,
    pub(super) open: Open,
    /// What of the first message was not sent yet goes as data.
    pub(super) is_first: bool,
}

impl Talk {
    /// Sends what of a message was not sent, within credit.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        under: &mut Under,
        input: &[u8],
    ) -> Poll<()> {
        loop {
            let path = input.get(under.path.clone()).unwrap_or_default();
            let fields = if self.is_first { 0 } else { message_bytes(path) };
            let least = u32::try_from(fields + 1).unwrap_or(u32::MAX);
            let room = ready!(self.open.poll_credit(cx, least)).saturating_sub(fields);
            let end = under.body.end.min(under.body.start + room);
            let bytes = input.get(under.body.start..end).unwrap_or_default();
            let is_last = end == under.body.end;
            match self.is_first {
                true => self.open.data(bytes, is_last),
                false => self.open.message(0, path, bytes, !is_last),
            }
            under.body.start = end;
            // Only the first piece has the path.
            under.path = 0..0;
            if is_last {
                self.is_first = false;
                self.handler.shared.messages.incr();
                return Poll::Ready(());
            }
        }
    }
}
