//! What others can make the gateway hold, at its peak.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use brim_wire::link::{Class, Content, Frame, Reason};
use brim_wire::reply::{Control, TARGETS};
use brim_wire::zmtp::{Greeting, SocketType, append_ready};

use crate::support::{Ask, Front, Gateway, Got, PATIENCE, Puppet, eventually};
use crate::trials;

trials! {
    unfinished_messages_have_a_bound_for_all_together
    pings_of_a_front_end_that_does_not_read_are_left_out
    keep_alives_to_a_front_end_that_does_not_read_wait_once_each
    a_front_end_that_does_not_read_its_refusals_is_let_go
    five_hundred_silent_links_keep_nobody_out
    a_message_of_endless_pieces_costs_its_exchange
}

/// A gateway with `max_memory = 16M` and a good handler.
struct Scene {
    gateway: Gateway,
    front: Front,
    _puppet: Puppet,
    memory: usize,
}

fn scene() -> Scene {
    scene_with("")
}

/// The same, with further sections.
fn scene_with(sections: &str) -> Scene {
    let gateway = Gateway::with(
        "max_memory = 16M\nhandshake_timeout = 2s",
        &format!("handler_wait = 10s\nmax_reply = 4M\n{sections}"),
    );
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

fn pings_of_a_front_end_that_does_not_read_are_left_out() {
    let mut scene = scene();
    let mut deaf = Front::connect(&scene.gateway);
    let mut pings = Vec::new();
    for _ in 0..50_000 {
        let content = Content::Ping { context: 1, is_answer: false };
        Frame { exchange: 0, content }.append(&mut pings).unwrap();
    }
    // The answers to all of them would be 46 MiB.
    for _ in 0..40 {
        deaf.send_bytes(&pings);
        assert_eq!(scene.front.fetch("/x").body, b"/x good");
    }
    // As soon as it reads it is answered again.
    eventually("an answer", || {
        deaf.send(0, Content::Ping { context: 2, is_answer: false });
        while let Some(got) = deaf.next_within(0, Duration::from_millis(50)) {
            if got == Got::Pong(2) {
                return Some(());
            }
        }
        None
    });
    scene.stays_bounded();
}

fn keep_alives_to_a_front_end_that_does_not_read_wait_once_each() {
    const ROUNDS: usize = 20_000;
    let mut scene = scene_with(
        "[k]\ncall = handler\nhandler_wait = 10s\nsend_ident = u-1\n\
         send_spec = ipc://FOLDER/k-send\nrecv_spec = ipc://FOLDER/k-recv",
    );
    let at = |name| format!("ipc://{}", scene.gateway.path(name).display());
    let mut puppet = Puppet::start(&at("k-send"), &at("k-recv"), &[]);
    let ask = Ask { handler: "k", ..Ask::default() };
    let mut deaf = Front::connect(&scene.gateway);
    let exchanges: Vec<_> = (0..TARGETS).map(|_| deaf.ask(&ask)).collect();
    let ids: Vec<_> = exchanges.iter().map(|_| puppet.hear().id).collect();
    let keep_alive = Control { keep_alive: true, ..Control::default() };
    // All of them would be 39 MiB.
    for _ in 0..ROUNDS {
        puppet.control(&ids, keep_alive);
    }
    let other = scene.front.ask(&ask);
    let id = puppet.hear().id;
    puppet.answer(id, "after them");
    assert_eq!(scene.front.answer(other).body, b"after them");
    // What its socket took, and one more for each.
    ids.iter().for_each(|id| puppet.answer(*id, "x"));
    let mut count = 0;
    for exchange in &exchanges {
        let touches = std::iter::from_fn(|| Some(deaf.next(*exchange)))
            .take_while(|got| *got == Got::Touch)
            .count();
        assert!(touches > 0, "none of the exchange {exchange}");
        count += touches;
    }
    println!("{count} keep-alives");
    // As soon as it reads it gets them again.
    let again = deaf.ask(&ask);
    let id = puppet.hear().id;
    for _ in 0..3 {
        puppet.control(&[id], keep_alive);
        assert_eq!(deaf.next(again), Got::Touch);
    }
    scene.stays_bounded();
}

fn a_front_end_that_does_not_read_its_refusals_is_let_go() {
    let mut scene = scene();
    let mut deaf = Front::connect(&scene.gateway);
    let ask = Ask { handler: "nobody", ..Ask::default() };
    let mut count = 0;
    loop {
        let mut requests = Vec::new();
        for _ in 0..1000 {
            deaf.append(&ask, &mut requests);
        }
        if !deaf.try_send(&requests) {
            break;
        }
        assert_eq!(scene.front.fetch("/x").body, b"/x good");
        count += 1000;
        assert!(count < 500_000, "it is still there");
    }
    // Some fit into its socket, and more than a MiB waited.
    println!("{count} refused requests");
    assert!(count > 40_000);
    scene.gateway.logs("more than 1048576 bytes of cancels");
    scene.stays_bounded();
}

fn five_hundred_silent_links_keep_nobody_out() {
    let mut scene = scene();
    let mut silent: Vec<_> = (0..500).map(|_| connect(&scene.gateway, "link")).collect();
    let mut later = Front::connect(&scene.gateway);
    for _ in 0..50 {
        assert_eq!(later.fetch("/x").body, b"/x good");
    }
    scene.serves();
    eventually("the end of all", || silent.iter_mut().all(is_over).then_some(()));
    scene.gateway.logs("it has not said who it is");
    assert_eq!(later.fetch("/x").body, b"/x good");
    scene.stays_bounded();
}

fn a_message_of_endless_pieces_costs_its_exchange() {
    let mut scene = scene();
    for (length, count) in [(16_000, 4000), (0, 100_000)] {
        let mut endless = Front::connect(&scene.gateway);
        let ask = Ask { class: Class::Json, version: 0, body: Some(None), ..Ask::default() };
        let exchange = endless.ask(&ask);
        let bytes = vec![b'x'; length];
        let content = Content::Message { flags: 0, path: b"", bytes: &bytes, more: true };
        let mut pieces = Vec::new();
        for _ in 0..100 {
            Frame { exchange, content }.append(&mut pieces).unwrap();
        }
        for _ in 0..count / 100 {
            endless.send_bytes(&pieces);
            assert_eq!(scene.front.fetch("/x").body, b"/x good");
        }
        if length > 0 {
            let mut got = endless.next(exchange);
            while let Got::Credit(_) = got {
                got = endless.next(exchange);
            }
            assert_eq!(got, Got::Cancel(Reason::TooLarge, 0));
        }
        assert_eq!(endless.fetch("/x").body, b"/x good");
    }
    scene.stays_bounded();
}
