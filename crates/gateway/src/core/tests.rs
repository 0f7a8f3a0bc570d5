use std::fs;
use std::time::Duration;

use brim_config::{Kind, SectionName, Tree};
use brim_stats::Registry;
use brim_wire::link::{Cancel, Class, Content, Frame, Hello, RequestHead, append_request};
use brim_wire::zmtp::{Greeting, SocketType, append_message, append_ready};
use proptest::prelude::*;

use super::*;

/// A core, and the time that it is told.
struct World {
    core: Core,
    now: Instant,
    links: Vec<(Key, u64)>,
    senders: Vec<Key>,
    receivers: Vec<Key>,
}

impl World {
    fn new(keys: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("brim.conf");
        let text = format!(
            "[gateway]\nmax_memory = 1M\n[h]\ncall = handler\nsend_spec = ipc:///s\n\
             recv_spec = ipc:///r\nsend_ident = u-1\nmax_inline = 5000\n{keys}\n"
        );
        fs::write(&file, text).expect("a file");
        let name = SectionName { kind: Kind::Gateway, name: None };
        let (section, problems) = GatewaySection::read(&Tree::load_file(&file).0, &name);
        assert!(problems.is_empty(), "{problems:?}");
        let names = section.handlers.iter().map(|handler| handler.name.as_str());
        let stats = Registry::new(counters::layout(names), 1).worker(0);
        let now = Instant::now();
        let core = Core::new(section, &stats, now, SystemTime::now());
        Self { core, now, links: Vec::new(), senders: Vec::new(), receivers: Vec::new() }
    }

    fn give(&mut self, key: Key, bytes: &[u8]) {
        let mut input = bytes;
        let _ = self.core.received(key, &mut input, self.now);
    }

    fn link(&mut self) {
        let Some(key) = self.core.open(Role::Link, self.now) else { return };
        let mut hello = Vec::new();
        let content = Content::Hello(Hello {
            lowest: 1,
            highest: 2,
            credit: 10_000,
            payload: 4096,
            exchanges: 0,
            name: b"t",
        });
        Frame { exchange: 0, content }.append(&mut hello).expect("a frame");
        self.give(key, &hello);
        self.links.push((key, 0));
    }

    fn peer(&mut self, role: Role) {
        let Some(key) = self.core.open(role, self.now) else { return };
        let mut bytes = Greeting::OURS.encode().to_vec();
        let (socket, list) = match role {
            Role::Recv(_) => (SocketType::Pub, &mut self.receivers),
            _ => (SocketType::Pull, &mut self.senders),
        };
        append_ready(&mut bytes, socket, None);
        list.push(key);
        self.give(key, &bytes);
    }

    fn request(&mut self, which: usize, class: Class, length: Option<u64>, end: bool) {
        let Some(index) = which.checked_rem(self.links.len()) else { return };
        let (key, last) = &mut self.links[index];
        let key = *key;
        *last += 1;
        let mut bytes = Vec::new();
        let is_http = matches!(class, Class::Http | Class::WebSocket);
        let head = RequestHead {
            class,
            version: if is_http { 11 } else { 0 },
            is_https: false,
            // A few connections, each with several requests.
            connection: *last % 5,
            length,
            client: b"::1",
            handler: b"h",
            pattern: b"/",
            method: b"GET",
            target: b"/x",
        };
        append_request(&mut bytes, *last, &head, [(&b"a"[..], &b"b"[..])].into_iter(), end)
            .expect("a frame");
        self.give(key, &bytes);
    }

    fn frame(&mut self, which: usize, content: Content<'_>) {
        let Some(index) = which.checked_rem(self.links.len()) else { return };
        let (key, last) = self.links[index];
        // One of the last few, which may be over.
        let exchange = last.saturating_sub(which as u64 % 4);
        if exchange > 0 {
            let mut bytes = Vec::new();
            Frame { exchange, content }.append(&mut bytes).expect("a frame");
            self.give(key, &bytes);
        }
    }

    fn reply(&mut self, which: usize, body: &[u8]) {
        let ids: Vec<u32> = self.core.exchanges.keys().copied().collect();
        let Some(id) = which.checked_rem(ids.len()).map(|index| ids[index].to_string()) else {
            return;
        };
        let Some(index) = which.checked_rem(self.receivers.len()) else { return };
        let mut message = format!("u-1 {}:{id}, ", id.len()).into_bytes();
        message.extend_from_slice(body);
        let mut bytes = Vec::new();
        append_message(&mut bytes, &[&message]);
        self.give(self.receivers[index], &bytes);
    }

    /// Everybody takes a part of what waits for him.
    fn take(&mut self, most: usize) {
        for key in self.core.take_listed() {
            let (bytes, _) = self.core.output(key);
            let count = bytes.len().min(most);
            self.core.wrote(key, count, self.now);
            self.core.list(key);
        }
        for order in self.core.take_orders() {
            match order {
                FileOrder::Create { ticket, .. } => {
                    self.core.file_event(ticket, FileEvent::Created, self.now);
                }
                FileOrder::Write { ticket, bytes } => {
                    self.core.file_event(ticket, FileEvent::Written(bytes.len()), self.now);
                }
                FileOrder::Read { ticket, bytes } => {
                    let read = vec![b'f'; if most > 100 { bytes.min(300) } else { 0 }];
                    self.core.file_event(ticket, FileEvent::Read(read), self.now);
                }
                FileOrder::Open { .. } | FileOrder::Close { .. } => {}
            }
        }
    }

    fn check(&self) {
        let core = &self.core;
        let of = |wanted: fn(&Exchange) -> bool| {
            core.exchanges.values().filter(|exchange| wanted(exchange)).count()
        };
        assert_eq!(core.handlers[0].unanswered, of(|exchange| exchange.is_unanswered));
        let outstanding: usize = core.peers.values().map(|peer| peer.outstanding).sum();
        assert_eq!(outstanding, of(|exchange| exchange.is_outstanding));
        let numbers: usize = core.links.values().map(|link| link.exchanges.len()).sum();
        assert_eq!(numbers, core.exchanges.len());
        core.ids.check();
    }

    /// Closes everything: nothing may be left.
    fn end(mut self) {
        for (key, _) in std::mem::take(&mut self.links) {
            self.core.closed(key, self.now);
        }
        assert!(self.core.exchanges.is_empty() && self.core.ids.check() == 0);
        for key in self.senders.iter().chain(&self.receivers) {
            self.core.closed(*key, self.now);
        }
        self.core.tick(self.now + Duration::from_secs(1000));
        let queued = self.core.handlers[0].queue_bytes;
        assert_eq!((self.core.held, self.core.outs), (queued, 0));
        assert!(self.core.is_empty() && self.core.tickets.is_empty());
    }
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n";

fn act(world: &mut World, what: u8, which: usize, size: usize) {
    let bytes = vec![b'x'; size];
    let length = size as u64;
    match what {
        0 => world.link(),
        1 => world.peer(Role::Send(0)),
        2 => world.peer(Role::Recv(0)),
        3..8 => world.request(which, Class::Http, Some(0), true),
        8 => world.request(which, Class::Http, Some(length + 1), false),
        9 => world.request(which, Class::Http, None, false),
        10 => world.request(which, Class::WebSocket, Some(0), true),
        11 => world.request(which, Class::Json, Some(length + 1), false),
        12 => world.frame(which, Content::Data { bytes: &bytes, end: false, close: false }),
        13 => world.frame(which, Content::Data { bytes: &bytes, end: true, close: false }),
        14 => {
            let path = &[];
            let more = size.is_multiple_of(3);
            world.frame(which, Content::Message { flags: 0x81, path, bytes: &bytes, more });
        }
        15 => {
            let cancel = Cancel { reason: Reason::ClientLeft, retry_after: 0 };
            world.frame(which, Content::Cancel(cancel));
        }
        16 => world.frame(which, Content::Credit(u32::try_from(size + 1).expect("small"))),
        17 | 18 => world.reply(which, HEAD),
        19 | 20 => world.reply(which, &bytes),
        21 => world.reply(which, b""),
        22 => world.reply(which, b"HTTP/1.1 101 S\r\n\r\n"),
        23 => world.reply(which, b"HTTP/1.1 200 OK\r\n\r\n"),
        24 => world.take(size),
        25 => world.take(usize::MAX),
        26 => {
            world.now += Duration::from_millis(size as u64);
            world.core.tick(world.now);
        }
        27 if !world.senders.is_empty() => {
            let key = world.senders.swap_remove(which % world.senders.len());
            world.core.closed(key, world.now);
        }
        28 if !world.links.is_empty() && which.is_multiple_of(4) => {
            let (key, _) = world.links.swap_remove(which % world.links.len());
            world.core.closed(key, world.now);
        }
        29 if !world.receivers.is_empty() && which.is_multiple_of(8) => {
            let key = world.receivers.swap_remove(which % world.receivers.len());
            world.core.closed(key, world.now);
        }
        _ => {}
    }
}

#[test]
fn unfinished_messages_are_counted_until_their_connections_close() {
    let mut world = World::new("");
    (0..3).for_each(|_| world.peer(Role::Recv(0)));
    world.link();
    let &[first, second, third] = world.receivers.as_slice() else { panic!("no three") };
    let link = world.links[0].0;
    world.core.kept(first, 600_000);
    assert!(!world.core.output(first).1, "one alone may be longer than the half");
    world.core.kept(second, 100_000);
    assert!(world.core.output(first).1 && !world.core.output(second).1);
    assert!(world.core.output(first).0.is_empty(), "nothing is left to be written");
    world.core.kept(third, 300_000);
    world.core.kept(link, 124_288);
    assert_eq!(world.core.unfinished.sum, 524_288);
    world.core.kept(link, 400_000);
    assert!(world.core.output(link).1 && !world.core.output(third).1);
    assert_eq!(world.core.unfinished.sum, 400_000);
    world.core.kept(third, 7);
    world.core.closed(second, world.now);
    assert_eq!(world.core.unfinished.sum, 7);
    world.core.closed(third, world.now);
    assert_eq!((world.core.unfinished.sum, world.core.counters.waiting_bytes.get()), (0, 0));
}

#[test]
fn what_a_handler_has_not_read_goes_to_another_one_when_it_leaves() {
    let has = |world: &World, key: Key| {
        let (bytes, _) = world.core.output(key);
        bytes.windows(4).filter(|bytes| bytes == b" /x ").count()
    };
    for (written, is_over) in [(0, false), (1, true)] {
        let mut world = World::new("");
        world.link();
        world.peer(Role::Recv(0));
        world.peer(Role::Send(0));
        world.now += Duration::from_secs(1);
        world.core.tick(world.now);
        world.take(usize::MAX);
        world.request(0, Class::Http, Some(0), true);
        world.peer(Role::Send(0));
        world.now += Duration::from_secs(1);
        world.core.tick(world.now);
        let &[first, second] = world.senders.as_slice() else { panic!("no two") };
        assert_eq!((has(&world, first), has(&world, second)), (1, 0));
        // Of what it began to read nobody knows how much it has done.
        world.core.wrote(first, written, world.now);
        world.core.closed(first, world.now);
        assert_eq!(has(&world, second), usize::from(!is_over));
        assert_eq!(world.core.exchanges.is_empty(), is_over);
        assert_eq!(world.core.counters.handler_left_count.get(), u64::from(is_over));
        world.check();
        world.end();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_in_whatever_order_the_books_are_right(
        keys in prop::sample::select(vec![
            "", "handler_wait = 2s", "upload_store = /store\nhandler_wait = 1s",
            "upload_stream = yes\nmax_queue = 64K\nhandler_wait = 1s",
            "conn_id = connection\ndownload_credits = 64K", "max_outstanding = 3",
        ]),
        acts in prop::collection::vec((0_u8..30, any::<u16>(), 0_usize..4000), 0..200),
    ) {
        let mut world = World::new(keys);
        world.link();
        world.peer(Role::Recv(0));
        world.peer(Role::Send(0));
        world.now += Duration::from_secs(1);
        world.core.tick(world.now);
        for (what, which, size) in acts {
            act(&mut world, what, usize::from(which), size);
            world.check();
        }
        world.end();
    }

    #[test]
    fn arbitrary_bytes_from_anybody_never_panic(
        pieces in prop::collection::vec((0_usize..3, prop::collection::vec(any::<u8>(), 0..80)), 0..20),
    ) {
        let mut world = World::new("");
        world.link();
        world.peer(Role::Recv(0));
        world.peer(Role::Send(0));
        let keys = [world.links[0].0, world.receivers[0], world.senders[0]];
        for (whose, bytes) in pieces {
            world.give(keys[whose], &bytes);
        }
        world.end();
    }
}
