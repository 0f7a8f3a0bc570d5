use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::app::Request;
use crate::body::Body;
use crate::error::Error;

/// A request's body on its way to an upstream. It can be sent again as long as nothing was read.
#[derive(Clone, Debug)]
pub(super) struct Upload(Option<Rc<Stock>>);

/// The body, and how far it has got.
#[derive(Debug)]
struct Stock {
    body: RefCell<Body>,
    /// Pieces that were read.
    pieces: Cell<u64>,
    /// The client is waited for.
    waits: Cell<bool>,
    ended: Cell<bool>,
    /// What is wrong with it: the client's fault.
    failure: RefCell<Option<Error>>,
}

/// What the sender learns of a failure; the whole of it stays with us.
#[derive(Debug, thiserror::Error)]
#[error("the request's body broke off")]
pub(super) struct Failed;

impl Upload {
    /// Takes the body, if there is one.
    pub(super) fn of(request: &mut Request) -> Self {
        let body = request.body();
        Self((!body.is_end_stream()).then(|| {
            Rc::new(Stock {
                body: RefCell::new(body.take()),
                pieces: Cell::new(0),
                waits: Cell::new(false),
                ended: Cell::new(false),
                failure: RefCell::default(),
            })
        }))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Nothing of it was read, so all of it is still there.
    pub(super) fn is_replayable(&self) -> bool {
        self.0.as_ref().is_none_or(|stock| stock.pieces.get() == 0 && !stock.ended.get())
    }

    /// All of it was read.
    pub(super) fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|stock| stock.ended.get())
    }

    /// Something that changes with every piece.
    pub(super) fn progress(&self) -> u64 {
        self.0.as_ref().map_or(0, |stock| stock.pieces.get())
    }

    pub(super) fn waits_for_client(&self) -> bool {
        self.0.as_ref().is_some_and(|stock| stock.waits.get())
    }

    /// Why it broke off.
    pub(super) fn failure(&self) -> Option<Error> {
        self.0.as_ref()?.failure.take()
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        let Some(stock) = &self.0 else { return Poll::Ready(None) };
        loop {
            let mut body = stock.body.borrow_mut();
            let frame = Pin::new(&mut *body).poll_frame(cx);
            stock.waits.set(frame.is_pending());
            match std::task::ready!(frame) {
                Some(Ok(frame)) => {
                    stock.pieces.set(stock.pieces.get() + 1);
                    stock.ended.set(body.is_end_stream());
                    // Trailers are not passed on.
                    if frame.is_data() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Some(Err(error)) => {
                    stock.failure.replace(Some(error));
                    return Poll::Ready(Some(Err(Failed)));
                }
                None => {
                    stock.ended.set(true);
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|stock| stock.body.borrow().is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(stock) => stock.body.borrow().size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
