use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use brim_config::{Reader, SizeWithin};
use brim_stats::{Counter, Stat};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::app::{App, AppContext};
use crate::connection::Connection;

/// Sends back whatever comes.
pub(crate) struct Echo {
    conf: Arc<Conf>,
    bytes: Counter,
}

/// `chunk_read` (size, 1 to 16M, default 64K): how much is read at once, and held for a client that does not
/// read.
pub(crate) struct Conf {
    chunk_read: usize,
}

thread_local! {
    /// What was just read, and is mostly written at once: a silent connection holds no memory for it.
    static CHUNK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl App for Echo {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        let SizeWithin(chunk_read) =
            section.get_or("chunk_read", SizeWithin::<1, { 16 << 20 }>(65_536));
        Conf { chunk_read: usize::try_from(chunk_read).unwrap_or(usize::MAX) }
    }

    fn stats_conf(_: &Conf) -> Vec<Stat> {
        vec![Stat::sum("byte_count")]
    }

    fn new(conf: Arc<Conf>, context: &AppContext) -> Self {
        Self { conf, bytes: context.counter("byte_count") }
    }

    async fn serve(&self, connection: &mut Connection) -> io::Result<()> {
        let mut held = Bytes::new();
        poll_fn(|cx| {
            CHUNK.with_borrow_mut(|chunk| {
                chunk.resize(chunk.len().max(self.conf.chunk_read), 0);
                let chunk = chunk.get_mut(..self.conf.chunk_read).unwrap_or_default();
                self.poll(cx, connection, &mut held, chunk)
            })
        })
        .await
    }
}

impl Echo {
    fn poll(
        &self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        held: &mut Bytes,
        chunk: &mut [u8],
    ) -> Poll<io::Result<()>> {
        loop {
            while !held.is_empty() {
                match ready!(Pin::new(&mut *connection).poll_write(cx, held))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => held.advance(count),
                }
            }
            let mut read = ReadBuf::new(chunk);
            if Pin::new(&mut *connection).poll_read(cx, &mut read)?.is_pending() {
                // TLS may hold back something.
                let _ = Pin::new(&mut *connection).poll_flush(cx)?;
                return Poll::Pending;
            }
            let bytes = read.filled();
            if bytes.is_empty() {
                return Pin::new(&mut *connection).poll_flush(cx);
            }
            self.bytes.add(bytes.len() as u64);
            let written = match Pin::new(&mut *connection).poll_write(cx, bytes) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            *held = Bytes::copy_from_slice(bytes.get(written..).unwrap_or_default());
        }
    }
}
