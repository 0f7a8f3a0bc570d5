//! One reply to many: what the first client got of it is what the others get.

use brim_wire::link::{Class, readdress};

use super::answer::{AnswerError, Fed};
use super::exchange::Exchange;
use super::link::Link;

/// The frames of a reply that is a whole response, once somebody has got it.
#[derive(Debug, Default)]
pub(super) struct Repeat {
    frames: Vec<u8>,
    /// Bytes of credit that they take.
    credit: u32,
    /// The longest payload for which they were made.
    payload: usize,
}

impl Repeat {
    /// Appends what another one got; `None` if nobody did, or if it does not fit here.
    pub(super) fn again(&self, exchange: &Exchange, link: &mut Link) -> Option<Fed> {
        let fits = !self.frames.is_empty()
            && is_plain(exchange)
            && exchange.send.left() >= self.credit
            && payload(link) == self.payload;
        if !fits {
            return None;
        }
        let out = link.out.buffer();
        let start = out.len();
        out.extend_from_slice(&self.frames);
        readdress(out.get_mut(start..)?, exchange.number);
        Some(Fed::Ended)
    }

    /// Feeds an answer by `feed`, and keeps what goes on if that is all of it.
    pub(super) fn first(
        &mut self,
        exchange: &mut Exchange,
        link: &mut Link,
        feed: impl FnOnce(&mut Exchange, &mut Link) -> Result<Fed, AnswerError>,
    ) -> Result<Fed, AnswerError> {
        let was_plain = is_plain(exchange);
        let (start, left) = (link.out.buffer().len(), exchange.send.left());
        let fed = feed(exchange, link)?;
        if was_plain && fed == Fed::Ended {
            self.frames = link.out.buffer().get(start..).unwrap_or_default().to_vec();
            self.credit = left - exchange.send.left();
            self.payload = payload(link);
        }
        Ok(fed)
    }
}

/// Whether nothing but the reply decides what the client gets.
fn is_plain(exchange: &Exchange) -> bool {
    exchange.class == Class::Http && !exchange.is_head_method && exchange.answer.is_fresh()
}

fn payload(link: &Link) -> usize {
    link.theirs.as_ref().map_or(0, |theirs| theirs.payload)
}
