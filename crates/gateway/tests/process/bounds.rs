//! What others can make the gateway hold, at its peak.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use brim_wire::zmtp::{Greeting, SocketType, append_ready};

use crate::support::{Front, Gateway, PATIENCE, Puppet, eventually};
use crate::trials;

trials! {
    unfinished_messages_have_a_bound_for_all_together
}

/// A gateway with `max_memory = 16M` and a good handler.
struct Scene {
    gateway: Gateway,
    front: Front,
    _puppet: Puppet,
    memory: usize,
}

fn scene() -> Scene {
    let gateway = Gateway::with("max_memory = 16M", "handler_wait = 10s\nmax_reply = 4M");
    let puppet = gateway.puppet(&["echo", "good"]);
    let mut front = Front::connect(&gateway);
    front.wait_for_handler();
    let memory = gateway.peak();
    Scene { gateway, front, _puppet: puppet, memory }
}

impl Scene {
    fn serves(&mut self) {
        for _ in 0..50 {
            assert_eq!(self.front.fetch("/x").body, b"/x good");
        }
    }

    /// It serves, and never took much more than `max_memory`.
    fn stays_bounded(mut self) {
        self.serves();
        let peak = self.gateway.peak();
        println!("{} KiB of memory before, {peak} at the peak", self.memory);
        assert!(peak < self.memory + 24 * 1024, "{peak} KiB");
    }
}

/// A connection that writes and does not wait.
fn connect(gateway: &Gateway, name: &str) -> UnixStream {
    let stream = UnixStream::connect(gateway.path(name)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Whether the gateway has closed it.
fn is_over(stream: &mut UnixStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut piece = [0; 65_536];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

fn unfinished_messages_have_a_bound_for_all_together() {
    let mut scene = scene();
    let mut most = vec![2];
    most.extend((4_u64 << 20).to_be_bytes());
    most.resize(4 << 20, b'x');
    let mut strangers = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&scene.gateway, "recv");
        let mut bytes = Greeting::OURS.encode().to_vec();
        append_ready(&mut bytes, SocketType::Pub, None);
        stream.write_all(&bytes).unwrap();
        // It may end before all is written.
        let _ = stream.write_all(&most);
        strangers.push(stream);
        scene.serves();
    }
    scene.gateway.logs("too much waits for the ends of messages");
    // Half of `max_memory` holds two of them.
    eventually("few strangers", || {
        let open = strangers.iter_mut().map(is_over).filter(|is_over| !is_over).count();
        (open <= 2).then_some(())
    });
    scene.stays_bounded();
}
