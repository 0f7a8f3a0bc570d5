//! A wrong configuration while clients knock: the sockets are held, so that this is no loop.

use brim_config::Problem;
use tokio::net::{TcpListener, UnixListener};

use super::{Daemon, errors, pulse};
use crate::bus::Order;
use crate::local::LocalStream;
use crate::notify;
use crate::program::Program;
use crate::shared::State;
use crate::sockets::{Held, ListeningSocket, Sockets};
use crate::stream::Stream;

/// Clients that are turned away at the same time, per socket.
const AT_ONCE: usize = 64;

impl<P: Program> Daemon<P> {
    /// Turns clients away until a reload finds a good configuration, or somebody wants the end
    /// (`None`). Datagrams wait in the kernel meanwhile.
    pub(super) async fn hold(&mut self, held: &Sockets, problems: Vec<Problem>) -> Option<P::Plan> {
        self.shared.face().state = State::Holding;
        let places = held.places();
        self.shared.face().listeners =
            places.iter().map(|(address, _)| address.to_string()).collect();
        let _pulse = pulse::AbortOnDrop(pulse::ping_alone());
        let doors: Vec<_> = held
            .streams
            .iter()
            .filter_map(|held| held.try_clone().ok())
            .map(|held| pulse::AbortOnDrop(tokio::task::spawn_local(turn_away_all::<P>(held))))
            .collect();
        self.own_name().await;
        notify::ready(&status(&problems));
        loop {
            match self.next_order().await {
                Order::Drain => return None,
                Order::Reload(reply) => {
                    notify::reloading();
                    match self.read().await {
                        Ok(plan) => {
                            drop(doors);
                            let _ = reply.send(Ok(()));
                            return Some(plan);
                        }
                        Err(problems) => {
                            tracing::error!("reload refused, clients are turned away as before");
                            notify::ready(&status(&problems));
                            let _ = reply.send(Err(errors(&problems)));
                        }
                    }
                }
            }
        }
    }
}

fn status(problems: &[Problem]) -> String {
    format!("configuration error, clients are turned away until a reload: {}", errors(problems))
}

/// A listening socket on this thread's runtime.
enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    fn new(socket: ListeningSocket) -> std::io::Result<Self> {
        Ok(match socket {
            ListeningSocket::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket)?),
            ListeningSocket::Unix(socket) => Self::Unix(UnixListener::from_std(socket)?),
        })
    }

    async fn accept(&self) -> std::io::Result<Stream> {
        match self {
            Self::Tcp(socket) => Ok(Stream::Tcp(socket.accept().await?.0)),
            Self::Unix(socket) => {
                Ok(Stream::Unix(LocalStream::from_tokio(socket.accept().await?.0)?))
            }
        }
    }
}

async fn turn_away_all<P: Program>(held: Held) {
    let Ok(door) = Door::new(held.socket) else { return };
    let room = std::rc::Rc::new(tokio::sync::Semaphore::new(AT_ONCE));
    loop {
        let Ok(_) = room.acquire().await.map(tokio::sync::SemaphorePermit::forget) else { return };
        let room = room.clone();
        match door.accept().await {
            Ok(stream) => drop(tokio::task::spawn_local(async move {
                P::turn_away(stream).await;
                room.add_permits(1);
            })),
            Err(_) => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                room.add_permits(1);
            }
        }
    }
}
