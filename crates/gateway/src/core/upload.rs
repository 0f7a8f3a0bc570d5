//! Bodies that are too long for a request: to a file, or to the handler in pieces.

use std::time::Instant;

use brim_wire::link::{Headers, Reason, RequestHead};

use super::dispatch::Wish;
use super::end::Notice;
use super::exchange::{Body, FileUpload, StreamUpload};
use super::peer::Kind;
use super::request::{About, Piece};
use super::start::why;
use super::{Core, FileEvent, FileOrder, WINDOW};

/// The smallest limit of a piece, whatever `max_inline` says.
const SMALLEST_PIECE: usize = 4096;

impl Core {
    /// Begins with what has come so far.
    pub(super) fn begin_upload(
        &mut self,
        id: u32,
        parts: (&RequestHead<'_>, &Headers<'_>),
        known: &[u8],
    ) {
        let Some(config) = self.config(id) else { return };
        let is_stream = config.upload_stream;
        let mode = config.upload_mode;
        let group = config.upload_group.clone();
        let store = config.upload_store.as_ref().map(|store| store.to_string_lossy().into_owned());
        match store {
            Some(store) => {
                let ticket = self.ticket(id);
                let path = format!("{store}/upload-{id}-{:016x}", fastrand::u64(..));
                let upload = FileUpload {
                    ticket,
                    path: path.clone(),
                    is_open: false,
                    unwritten: 0,
                    is_over: false,
                    is_done: false,
                };
                if let Some(exchange) = self.exchanges.get_mut(&id) {
                    exchange.body = Body::File(Box::new(upload));
                }
                self.orders.push(FileOrder::Create { ticket, path, mode, group });
                self.file_piece(id, known, false);
            }
            None if is_stream => {
                let length = parts.0.length;
                self.held += known.len();
                let upload =
                    StreamUpload { length, pending: known.to_vec(), ..StreamUpload::default() };
                if let Some(exchange) = self.exchanges.get_mut(&id) {
                    exchange.body = Body::Stream(Box::new(upload));
                }
                self.request(id, parts, About::StreamStart, b"");
            }
            None => {
                let reason = Reason::TooLarge;
                self.fail(id, reason, &why(reason), Notice::No);
            }
        }
    }

    /// A name for a file of an exchange.
    pub(super) fn ticket(&mut self, id: u32) -> u64 {
        let ticket = self.next_key;
        self.next_key += 1;
        self.tickets.insert(ticket, id);
        ticket
    }

    /// A piece of a body for a file.
    pub(super) fn file_piece(&mut self, id: u32, bytes: &[u8], end: bool) {
        let Some(upload) = self.exchanges.get_mut(&id).and_then(|exchange| exchange.file()) else {
            return;
        };
        upload.is_over |= end;
        if !bytes.is_empty() || end {
            upload.unwritten += bytes.len();
            self.held += bytes.len();
            let ticket = upload.ticket;
            self.orders.push(FileOrder::Write { ticket, bytes: bytes.to_vec() });
        }
    }

    /// Something came of an order.
    pub(crate) fn file_event(&mut self, ticket: u64, event: FileEvent, now: Instant) {
        self.now = now;
        let Some(id) = self.tickets.get(&ticket).copied() else { return };
        match event {
            FileEvent::Created => self.file_created(id),
            FileEvent::Written(bytes) => self.file_written(id, bytes),
            FileEvent::Read(bytes) => self.file_read(id, ticket, bytes),
            FileEvent::Failed(error) => {
                let what = format_args!("a file of an exchange: {error}");
                self.fail(id, Reason::GatewayFailed, &what, Notice::Yes);
            }
        }
    }

    fn file_created(&mut self, id: u32) {
        let Some(upload) = self.exchanges.get_mut(&id).and_then(|exchange| exchange.file()) else {
            return;
        };
        upload.is_open = true;
        let path = upload.path.clone();
        self.with_head(id, |core, parts| {
            core.request(id, parts, About::UploadStart(&path), b"");
        });
    }

    fn file_written(&mut self, id: u32, bytes: usize) {
        let Some(upload) = self.exchanges.get_mut(&id).and_then(|exchange| exchange.file()) else {
            return;
        };
        upload.unwritten -= bytes.min(upload.unwritten);
        self.held -= bytes.min(self.held);
        let is_whole = upload.is_open && upload.is_over && upload.unwritten == 0;
        if is_whole && !std::mem::replace(&mut upload.is_done, true) {
            let path = upload.path.clone();
            self.with_head(id, |core, parts| {
                core.request(id, parts, About::UploadDone(&path), b"");
            });
        } else {
            self.grant(id, bytes);
        }
    }

    /// A piece of a body for a handler.
    pub(super) fn stream_piece(&mut self, id: u32, bytes: &[u8], end: bool) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let Body::Stream(upload) = &mut exchange.body else { return };
        upload.pending.extend_from_slice(bytes);
        upload.is_over |= end;
        self.held += bytes.len();
        self.pump_stream(id);
    }

    /// A handler takes so many bytes more.
    pub(super) fn upload_credits(&mut self, id: u32, credits: u64) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if let Body::Stream(upload) = &mut exchange.body {
            upload.credits = upload.credits.saturating_add(credits);
            self.pump_stream(id);
        }
    }

    /// Sends what the handler takes.
    fn pump_stream(&mut self, id: u32) {
        let Some(config) = self.config(id) else { return };
        let longest = config.max_inline.clamp(SMALLEST_PIECE, WINDOW as usize) as u64;
        let timeout = Some(config.handler_timeout).filter(|timeout| !timeout.is_zero());
        loop {
            let Some(exchange) = self.exchanges.get_mut(&id) else { return };
            let Body::Stream(upload) = &mut exchange.body else { return };
            let pending = upload.pending.len() as u64;
            let count = pending.min(upload.credits).min(longest);
            let end = upload.offset + count;
            let is_last = upload.length == Some(end) || upload.is_over && count == pending;
            if count == 0 && !is_last {
                exchange.deadline =
                    timeout.filter(|_| pending > 0).map(|timeout| self.now + timeout);
                return;
            }
            let rest = upload.pending.split_off(usize::try_from(count).unwrap_or(usize::MAX));
            let piece = std::mem::replace(&mut upload.pending, rest);
            let offset = std::mem::replace(&mut upload.offset, end);
            upload.credits -= count;
            self.held -= piece.len();
            if is_last {
                exchange.body = if upload.is_over { Body::Over } else { Body::Discard };
                exchange.deadline = timeout.map(|timeout| self.now + timeout);
            }
            let mut sent = Ok(());
            self.with_head(id, |core, (head, _)| {
                let wish = Wish { id, kind: Kind::More, credit: piece.len() };
                sent = core.dispatch(wish, |pen, out| {
                    pen.piece(out, id, head.path(), Piece { offset, is_last, bytes: &piece });
                });
            });
            if let Err(reason) = sent {
                return self.fail(id, reason, &why(reason), Notice::Yes);
            }
        }
    }
}
