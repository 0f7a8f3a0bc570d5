//! UDP echo under clients of our own, which have so many datagrams on their way, and send a new one for each
//! that comes back.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

use crate::contest::Rounds;
use crate::relays::{bare, brim};
use crate::rivals::{Rival, Seen, Table, table};
use crate::site::Site;

/// Clients, each with a socket of its own.
const CLIENTS: usize = 8;
/// Datagrams of one client that are on their way.
const WINDOW: usize = 16;
/// Bytes of a datagram.
const SIZE: usize = 64;
/// Silence after which what is on its way is lost.
const LOST: Duration = Duration::from_millis(50);

/// Prints the table.
pub fn run(site: &Site, rounds: Rounds) -> io::Result<()> {
    let all = [
        Rival::new("brim-udp", brim(site, "udp", "call = echo")?),
        Rival::new("bare tokio", bare("datagrams", None)?).wanted(1.5),
    ];
    let title = format!("UDP echo, {CLIENTS} clients, {WINDOW} of {SIZE} bytes on their way");
    let what = Table { title: &title, unit: "datagrams/s", size: 1.0 };
    table(what, &all, rounds, |rival, time| load(rival.address(), time))
}

/// One thread has all clients: it must not be what is measured.
fn load(address: SocketAddr, time: Duration) -> io::Result<Seen> {
    let clients: io::Result<Vec<_>> = (0..CLIENTS).map(|_| client(address)).collect();
    let clients = clients?;
    let (mut count, mut lost) = (0, 0);
    let begin = Instant::now();
    while begin.elapsed() < time {
        for client in &clients {
            send_window(client)?;
        }
        for client in &clients {
            let mut came = 0;
            while came < WINDOW {
                match client.recv(&mut [0; SIZE]) {
                    Ok(_) => came += 1,
                    Err(_) => break,
                }
            }
            count += came as u64;
            lost += (WINDOW - came) as u64;
        }
    }
    Ok(Seen { count, lost, time: begin.elapsed() })
}

fn client(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(LOST))?;
    Ok(socket)
}

/// A whole window in one call, which the kernel takes apart.
fn send_window(client: &UdpSocket) -> io::Result<()> {
    let size = u16::try_from(SIZE).unwrap_or_default();
    let bytes = [7; SIZE * WINDOW];
    let words = [ControlMessage::UdpGsoSegments(&size)];
    let none: Option<&SockaddrStorage> = None;
    sendmsg(client.as_raw_fd(), &[IoSlice::new(&bytes)], &words, MsgFlags::empty(), none)?;
    Ok(())
}
