use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::Shared;
use super::head::{self, Outgoing};
use super::link::{Answer, Failure, Open, Piece};
use super::upload::{self, Upload};
use crate::apps::proxy::Unsized;
use crate::body::{Response, ResponseBody};
use crate::error::{Error, HandlerFailure};
use crate::exchange::Exchange;

/// A response's body on its way to the client.
struct Download {
    open: Rc<Open>,
    /// What the head has promised, as far as it has not come.
    left: Option<u64>,
    over: bool,
    /// The rest of the request's body.
    upload: Option<Rc<Rest>>,
    exchange: Rc<Exchange>,
    handler: Rc<Shared>,
}

/// The rest of a request's body, which goes on while the client takes nothing of the response.
struct Rest {
    task: JoinHandle<()>,
    failure: Rc<RefCell<Option<Error>>>,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the client gets of an answer that is no upgrade.
pub(super) fn response(
    handler: &Rc<Shared>,
    outgoing: &Outgoing,
    open: Open,
    answer: Answer,
    upload: Upload,
) -> Result<Response, Error> {
    let length = answer.length;
    let malformed = || handler.failed(HandlerFailure::Malformed);
    let mut response = head::response(answer).ok_or_else(malformed)?;
    let bodiless = outgoing.is_head() || head::is_bodiless(response.status());
    if let Some(close) = open.ended() {
        // Most responses are here whole, with their heads.
        let pieces = open.take_all();
        if !bodiless && length.is_some_and(|length| length != pieces.total()) {
            return Err(malformed());
        }
        if close {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if !bodiless {
            // Its length is said where it is written.
            *response.body_mut() = pieces.into();
            return Ok(response);
        }
        say_length(&mut response, length);
        *response.body_mut() = nothing(&response, outgoing);
        return Ok(response);
    }
    say_length(&mut response, length);
    if bodiless {
        *response.body_mut() = nothing(&response, outgoing);
        // Whatever the handler still says of it is its own affair, until the client has its response.
        outgoing.request.exchange().keep(open);
        return Ok(response);
    }
    let open = Rc::new(open);
    let upload = (!upload.is_whole()).then(|| {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        Rc::new(Rest::new(upload, open.clone()))
    });
    let (exchange, handler) = (outgoing.request.shared_exchange(), handler.clone());
    let download = Download { open, left: length, over: false, upload, exchange, handler };
    *response.body_mut() = ResponseBody::stream(download);
    Ok(response)
}

fn say_length(response: &mut Response, length: Option<u64>) {
    if let Some(length) = length.filter(|_| response.status() != StatusCode::NO_CONTENT) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
}

/// The body of a response that has none. That to a HEAD may have one of unknown length.
fn nothing(response: &Response, outgoing: &Outgoing) -> ResponseBody {
    let sized = response.headers().contains_key(header::CONTENT_LENGTH);
    match outgoing.is_head() && !sized && response.status() != StatusCode::NO_CONTENT {
        true => ResponseBody::stream(Unsized),
        false => ResponseBody::Empty,
    }
}

impl Rest {
    fn new(mut upload: Upload, open: Rc<Open>) -> Self {
        let failure = Rc::new(RefCell::new(None));
        let told = failure.clone();
        let task = tokio::task::spawn_local(async move {
            let sent = poll_fn(|cx| upload.poll_send(cx, &open)).await;
            if let Err(error) = sent {
                let reason = upload::reason(&error);
                *told.borrow_mut() = Some(error);
                open.cancel(reason);
            }
        });
        Self { task, failure }
    }
}

impl Download {
    fn fail(&mut self, failure: Failure) -> Error {
        self.over = true;
        let of_client = self.upload.as_ref().and_then(|rest| rest.failure.take());
        self.handler.cut_off();
        of_client.unwrap_or_else(|| {
            self.handler.error(match failure {
                Failure::Cancelled(cancel) => super::failure(cancel.reason),
                Failure::Lost { .. } => HandlerFailure::LinkLost,
                Failure::Dropped => HandlerFailure::CutOff,
            })
        })
    }

    fn end(&mut self, close: bool) {
        self.over = true;
        if close {
            self.exchange.close_after();
        }
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        match ready!(this.open.poll_piece(cx)) {
            Ok(Piece::Bytes(bytes)) => {
                let count = bytes.len() as u64;
                if let Some(left) = &mut this.left {
                    let Some(rest) = left.checked_sub(count) else {
                        return Poll::Ready(Some(Err(this.fail(Failure::Dropped))));
                    };
                    *left = rest;
                }
                this.open.used(bytes.len());
                // Of a body whose length was said, nobody asks for the end.
                match this.open.all_taken() {
                    Some(_) if this.left.is_some_and(|left| left > 0) => {}
                    Some(close) => this.end(close),
                    None => {}
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Ok(Piece::End { .. }) if this.left.is_some_and(|left| left > 0) => {
                Poll::Ready(Some(Err(this.fail(Failure::Dropped))))
            }
            Ok(Piece::End { close }) => {
                this.end(close);
                Poll::Ready(None)
            }
            Err(failure) => Poll::Ready(Some(Err(this.fail(failure)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}
