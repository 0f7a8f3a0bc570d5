use std::collections::VecDeque;
use std::time::Instant;

use brim_wire::link::{Class, ReceiveCredit, SendCredit};

use super::Key;
use super::answer::Answer;

/// A request and its answer, a WebSocket, or the socket messages of a connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) began: Instant,
    pub(crate) link: Key,
    /// Its number on the link.
    pub(crate) number: u64,
    /// The place of the handler's section.
    pub(crate) handler: usize,
    pub(crate) class: Class,
    pub(crate) is_head_method: bool,
    /// The handler that got something of it last.
    pub(crate) peer: Option<Key>,
    /// Whether it counts among what that handler has to answer.
    pub(crate) is_outstanding: bool,
    /// Whether it counts among what waits for an answer's head.
    pub(crate) is_unanswered: bool,
    /// Whether its request is in the handler's queue.
    pub(crate) is_queued: bool,
    /// When it is too late for the handler to begin.
    pub(crate) deadline: Option<Instant>,
    pub(crate) receive: ReceiveCredit,
    pub(crate) send: SendCredit,
    pub(crate) body: Body,
    /// The request's head as it came, where it is needed again.
    pub(crate) head: Option<Box<[u8]>>,
    pub(crate) answer: Answer,
    /// What handlers want to have sent, in order.
    pub(crate) waiting: VecDeque<Item>,
    /// Bytes of that.
    pub(crate) waiting_bytes: usize,
    /// Bytes that have gone on, and that its handler was not told of.
    pub(crate) untold: u64,
    /// Where its last touch ends in the stream to the front end.
    pub(crate) touched: u64,
    /// A message of which not all pieces are there.
    pub(crate) message: Option<Box<Message>>,
}

/// What becomes of a request's body.
#[derive(Debug)]
pub(crate) enum Body {
    /// There is none, or all of it came.
    Over,
    /// It is collected, to be sent with the request; at most so many bytes.
    Inline { bytes: Vec<u8>, limit: usize, length: Option<u64> },
    /// It goes to a file.
    File(Box<FileUpload>),
    /// It goes to the handler as that asks for it.
    Stream(Box<StreamUpload>),
    /// Nobody wants it.
    Discard,
}

/// A body on the way to a file.
#[derive(Debug)]
pub(crate) struct FileUpload {
    pub(crate) ticket: u64,
    pub(crate) path: String,
    /// The file is there, and the handler knows.
    pub(crate) is_open: bool,
    /// Bytes that wait for the disk.
    pub(crate) unwritten: usize,
    /// All of it came.
    pub(crate) is_over: bool,
    /// The handler knows that it is whole.
    pub(crate) is_done: bool,
}

/// A body on the way to a handler.
#[derive(Debug, Default)]
pub(crate) struct StreamUpload {
    /// Bytes that were sent.
    pub(crate) offset: u64,
    /// Bytes that the handler takes.
    pub(crate) credits: u64,
    pub(crate) length: Option<u64>,
    pub(crate) pending: Vec<u8>,
    /// All of it came.
    pub(crate) is_over: bool,
}

/// A client's message, so far.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) flags: u8,
    pub(crate) path: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// What a handler wants to have sent.
#[derive(Debug)]
pub(crate) enum Item {
    /// Bytes, and how many of them are gone; with the size of the handler's payload.
    Data { bytes: Vec<u8>, gone: usize, payload: u64 },
    /// A file, whose bytes come in front of it; and whether they were asked for.
    File { ticket: u64, is_asked: bool },
    /// The end.
    Close,
}

impl Exchange {
    /// Whether it ends by itself when the handler has answered.
    pub(crate) fn ends_by_itself(&self) -> bool {
        match self.class {
            Class::Http => !self.answer.is_endless(),
            Class::WebSocket => !self.answer.has_begun(),
            Class::Json | Class::Xml => false,
        }
    }

    /// Whether the handler has something to answer: not to socket messages, and not when the answer is over.
    pub(crate) fn answer_is_due(&self) -> bool {
        match self.class {
            Class::Http => true,
            Class::WebSocket => !self.answer.has_begun(),
            Class::Json | Class::Xml => false,
        }
    }

    /// Whether the handler has all of the request.
    pub(crate) fn is_body_over(&self) -> bool {
        match &self.body {
            Body::Over | Body::Discard => true,
            Body::Inline { .. } | Body::Stream(_) => false,
            Body::File(upload) => upload.is_done,
        }
    }

    /// A body that is on its way to a file.
    pub(crate) fn file(&mut self) -> Option<&mut FileUpload> {
        match &mut self.body {
            Body::File(upload) => Some(upload),
            _ => None,
        }
    }
}
