//! One task per socket: receives, has it served, receives again.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use brim_service::{Current, DatagramSocket, Datagrams, LogLimit};
use socket2::SockRef;

use crate::batch::Batch;
use crate::socket::Socket;
use crate::worker::UdpWorker;

/// A pause after an error of the socket, so that this is no busy loop.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a socket until the drain begins. What is in the kernel then is the successor's.
pub(crate) async fn serve(current: Current<UdpWorker>, held: DatagramSocket) {
    let DatagramSocket { socket, local, open: _open } = held;
    enlarge(&socket, current.get().receive_buffer);
    let socket = match Socket::new(socket, local.clone()) {
        Ok(socket) => Rc::new(socket),
        Err(error) => {
            tracing::error!(address = %local, %error, "cannot receive");
            return;
        }
    };
    let lifecycle = current.get().context.lifecycle.clone();
    let mut drain = pin!(lifecycle.drain_begins());
    let mut batch = Batch::new(current.get().max_datagram_size);
    let mut log_limit = LogLimit::new();
    loop {
        let received = tokio::select! {
            biased;
            () = &mut drain => break,
            received = socket.receive(&mut batch) => received,
        };
        let worker = current.get();
        match received {
            Ok(()) => {
                take(&worker, &socket, &mut batch).await;
                // Others have their turn, however much comes.
                tokio::task::coop::consume_budget().await;
            }
            Err(error) => failed(&local, &error, &mut log_limit).await,
        }
        if batch.size() != worker.max_datagram_size {
            batch = Batch::new(worker.max_datagram_size);
        }
    }
    let worker = current.get();
    worker.app.finish().await;
}

/// Makes room in the kernel, where systemd has not done so; without privileges it may be less.
fn enlarge(socket: &Datagrams, size: usize) {
    let socket = match socket {
        Datagrams::Udp(socket) => SockRef::from(socket),
        Datagrams::Unix(socket) => SockRef::from(socket),
    };
    // The kernel tells twice of what was asked for (socket(7)).
    if socket.recv_buffer_size().is_ok_and(|now| now / 2 < size) {
        let _ = socket.set_recv_buffer_size(size);
    }
}

async fn take(worker: &UdpWorker, socket: &Rc<Socket>, batch: &mut Batch) {
    worker.datagrams.add(batch.came.len() as u64);
    worker.too_long.add(batch.drop_long() as u64);
    if !batch.came.is_empty() {
        worker.app.serve(socket, batch).await;
    }
}

async fn failed(local: &brim_config::Address, error: &io::Error, log_limit: &mut LogLimit) {
    if let Some(held_back) = log_limit.pass(Instant::now()) {
        tracing::warn!(address = %local, %error, held_back, "cannot receive for now");
    }
    tokio::time::sleep(PAUSE).await;
}
