use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;

use crate::connection::Clock;

/// How much of a body that nobody wants is read for the connection's sake, in bytes.
const WORTH: usize = 64 * 1024;

/// What an app left of a request's body. hyper closes the connection where a body is not whole, and
/// says nothing of it in a response that it has already sent: the next request would be lost.
#[derive(Debug, Default)]
pub(crate) enum Leftover {
    /// Nothing: the body was read, or there was none. Or somebody still reads it.
    #[default]
    None,
    /// The client waits for a 100 before it sends anything, and nobody has asked it to.
    Unasked,
    /// Nothing, and it had trailers. hyper and a client may differ about where they end (RFC 9112
    /// section 2.2: after a bare LF), so nothing behind them is read.
    Trailers,
    /// A part of it, or all.
    Rest(Incoming, Rc<Clock>),
}

impl Leftover {
    /// Reads and drops what comes, for so long at most.
    pub(crate) fn let_come(self, time: Duration) {
        let Self::Rest(mut incoming, _clock) = self else { return };
        tokio::task::spawn_local(tokio::time::timeout(time, async move {
            while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {}
        }));
    }

    /// Reads and drops what has come already; true when that was all, so that the connection can be
    /// used again.
    pub(crate) async fn discard(self) -> bool {
        let (mut incoming, clock) = match self {
            Self::None => return true,
            Self::Unasked | Self::Trailers => return false,
            Self::Rest(incoming, clock) => (incoming, clock),
        };
        let (mut discarded, mut yielded) = (0, false);
        let whole = std::future::poll_fn(|cx| {
            while !incoming.is_end_stream() {
                match Pin::new(&mut incoming).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                        return Poll::Ready(false);
                    }
                    Poll::Ready(Some(Ok(frame))) => {
                        yielded = false;
                        discarded += frame.data_ref().map_or(0, bytes::Bytes::len);
                        if discarded > WORTH {
                            return Poll::Ready(false);
                        }
                    }
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    // hyper looks for more only after it was asked, so it has its turn once.
                    Poll::Pending if !yielded => {
                        yielded = true;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Pending => return Poll::Ready(false),
                }
            }
            Poll::Ready(true)
        })
        .await;
        clock.body_open(!whole);
        whole
    }
}
