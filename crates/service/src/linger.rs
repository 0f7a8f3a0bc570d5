//! The end of a connection, so that the last words arrive.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::transport::Transport;

/// Longest time that our last words may take.
const REFUSAL: Duration = Duration::from_secs(5);
/// Bytes read at once from what nobody wants.
const DISCARD: usize = 16 * 1024;

/// Writes last words, as far as they are taken in time.
pub async fn write(transport: &mut Transport, response: &[u8]) {
    let _ = timeout(REFUSAL, transport.write_all(response)).await;
}

/// Whether the client has sent something that nobody has read. It would cost the last answer.
pub fn is_unread(transport: &Transport) -> bool {
    transport.stream().try_read(&mut [0]).is_ok_and(|count| count > 0)
}

/// Closes our half, with TLS's own word for it; false when the client is gone.
pub async fn end(transport: &mut Transport) -> bool {
    matches!(timeout(REFUSAL, transport.shutdown()).await, Ok(Ok(())))
}

/// Closes our half, then reads and discards what the client still sends: closing with unread bytes
/// makes the kernel reset the connection, and a client that is still sending then sees a broken pipe
/// instead of its answer. Ends after `silence`, and after `time` in all.
pub async fn linger(mut transport: Transport, silence: Duration, time: Duration) {
    if !end(&mut transport).await {
        return;
    }
    // Below TLS, for nobody wants to know what it says.
    let stream = transport.stream();
    let deadline = Instant::now() + time;
    let mut discarded = vec![0; DISCARD];
    loop {
        let until = deadline.min(Instant::now() + silence);
        if !matches!(timeout_at(until, stream.readable()).await, Ok(Ok(()))) {
            return;
        }
        match stream.try_read(&mut discarded) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
