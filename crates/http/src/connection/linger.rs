use std::time::Duration;

use brim_service::Stream;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout, timeout_at};

/// Longest time that writing a refusal may take.
const REFUSAL: Duration = Duration::from_secs(5);
/// Bytes read at once from what nobody wants.
const DISCARD: usize = 16 * 1024;

/// Writes a whole response that hyper has no part in.
pub(crate) async fn write(stream: &mut Stream, response: &[u8]) {
    let _ = timeout(REFUSAL, stream.write_all(response)).await;
}

/// Whether the client has sent something that nobody has read. It would cost the last answer.
pub(crate) fn is_unread(stream: &Stream) -> bool {
    stream.try_read(&mut [0]).is_ok_and(|count| count > 0)
}

/// Closes our half, then reads and discards what the client still sends: closing with unread bytes
/// makes the kernel reset the connection, and a client that is still sending then sees a broken pipe
/// instead of its answer. Ends after `silence`, and after `time` in all.
pub(crate) async fn linger(mut stream: Stream, silence: Duration, time: Duration) {
    if stream.shutdown().await.is_err() {
        return;
    }
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
