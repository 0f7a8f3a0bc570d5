//! Strangers and bad handlers at the sockets for handlers: the gateway lives, its memory has a bound, and others are
//! served meanwhile.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use brim_wire::zmtp::{Command, Greeting, Mechanism, SocketType, append_message, append_ready};

use crate::support::{Ask, Front, eventually};
use crate::trials;

mod scene;

use scene::{Scene, Stranger, ready, scenes};

trials! {
    a_frame_of_2_to_the_62_bytes_ends_the_connection
    an_empty_command_ends_the_connection
    two_million_frames_with_more_end_the_connection
    heartbeats_by_the_thousand_are_answered_or_left_out
    five_hundred_silent_connections_keep_nobody_out
    a_wrong_mechanism_and_other_greetings_are_refused
    a_socket_of_another_type_is_told_so
    replies_that_are_none_cost_themselves
    a_message_longer_than_max_reply_ends_the_connection
    a_handler_that_talks_where_it_should_listen_is_overlooked
    others_are_served_while_strangers_do_all_of_it
}

/// Lists in lists, each the only one of its list.
fn nested(depth: usize) -> Vec<u8> {
    let (mut length, mut heads) = (0, Vec::new());
    for _ in 0..depth {
        let head = format!("{length}:");
        length += head.len() + 1;
        heads.push(head);
    }
    let mut value: Vec<u8> = heads.into_iter().rev().flat_map(String::into_bytes).collect();
    value.resize(length, b']');
    value
}

/// Whether the gateway closes the connection.
fn ends(stream: &mut Box<dyn Stranger>) {
    let mut piece = [0; 65_536];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("it goes on: {error}"),
        }
    }
}

fn a_frame_of_2_to_the_62_bytes_ends_the_connection() {
    for scene in scenes() {
        for flags in [2, 3] {
            for mut stream in scene.both() {
                let mut frame = vec![flags];
                frame.extend((1_u64 << 62).to_be_bytes());
                stream.write_all(&frame).unwrap();
                ends(&mut stream);
            }
        }
        scene.gateway.logs("a frame of 4611686018427387904 bytes");
        scene.stays_well();
    }
}

fn an_empty_command_ends_the_connection() {
    for scene in scenes() {
        for bytes in [&[4, 0][..], &[4, 1, 0], &[5, 0], &[0xff, 0]] {
            for mut stream in scene.both() {
                stream.write_all(bytes).unwrap();
                ends(&mut stream);
            }
        }
        scene.stays_well();
    }
}

fn two_million_frames_with_more_end_the_connection() {
    for scene in scenes() {
        for frame in [&[1, 0][..], &[1, 1, b'x']] {
            let many = frame.repeat(100_000);
            for mut stream in scene.both() {
                // It ends long before all are written.
                for _ in 0..20 {
                    if stream.write_all(&many).is_err() {
                        break;
                    }
                }
                ends(&mut stream);
            }
        }
        scene.gateway.logs("a message of more than 128 frames");
        scene.stays_well();
    }
}

fn heartbeats_by_the_thousand_are_answered_or_left_out() {
    for scene in scenes() {
        let mut stream = scene.publisher();
        let mut pings = Vec::new();
        for _ in 0..100_000 {
            Command::Ping { ttl: 1, context: b"0123456789abcdef" }.append(&mut pings);
        }
        // Nobody reads the answers.
        for _ in 0..5 {
            stream.write_all(&pings).unwrap();
        }
        let mut long = Vec::new();
        Command::Ping { ttl: 1, context: &[0; 17] }.append(&mut long);
        let _ = stream.write_all(&long);
        ends(&mut stream);
        scene.stays_well();
    }
}

fn five_hundred_silent_connections_keep_nobody_out() {
    for scene in scenes() {
        for place in [&scene.send, &scene.recv] {
            let mut silent: Vec<_> = (0..500).map(|_| place.connect().unwrap()).collect();
            let mut front = Front::connect(&scene.gateway);
            let start = Instant::now();
            let (_late, handler) = scene.joins();
            let ask = Ask { handler, target: "/x", ..Ask::default() };
            let mut fetch = || {
                let exchange = front.ask(&ask);
                front.answer(exchange)
            };
            eventually("one of the late one", || (fetch().body == b"/x late").then_some(()));
            for _ in 0..200 {
                assert_eq!(fetch().status, 200);
            }
            println!("served in {:?} beside 500 silent connections", start.elapsed());
            let start = Instant::now();
            silent.iter_mut().for_each(ends);
            println!("all 500 are gone after {:?} more", start.elapsed());
        }
        scene.stays_well();
    }
}

fn a_wrong_mechanism_and_other_greetings_are_refused() {
    for scene in scenes() {
        let mut curve = Greeting::OURS.encode();
        curve[12..17].copy_from_slice(b"CURVE");
        let mut server = Greeting { mechanism: Mechanism::NULL, ..Greeting::OURS }.encode();
        server[32] = 1;
        let mut old = Greeting::OURS.encode();
        old[10] = 1;
        for bytes in [&curve[..], &server, &old, b"GET / HTTP/1.1\r\n\r\n", &[0xff; 64]] {
            for place in [&scene.send, &scene.recv] {
                let mut stream = place.connect().unwrap();
                stream.write_all(bytes).unwrap();
                ends(&mut stream);
            }
        }
        scene.gateway.logs("found the mechanism CURVE, expected NULL");
        scene.stays_well();
    }
}

fn a_socket_of_another_type_is_told_so() {
    for scene in scenes() {
        for (place, socket) in [(&scene.send, SocketType::Pub), (&scene.recv, SocketType::Pull)] {
            let mut stream = ready(place, socket);
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all);
            let text = String::from_utf8_lossy(&all).into_owned();
            assert!(text.contains("ERROR") && text.contains("wrong socket type"), "{text:?}");
        }
        scene.gateway.logs("a socket of the type PUB, expected PULL");
        scene.stays_well();
    }
}

fn replies_that_are_none_cost_themselves() {
    for scene in scenes() {
        let mut stream = scene.publisher();
        let ids = |count: usize| vec!["1"; count].join(" ");
        let many = ids(129);
        let brackets = vec![b'['; 100_000];
        let messages: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            format!("u-1 {}:{many}, x", many.len()).into_bytes(),
            b"u-1 5:1, x".to_vec(),
            b"u-1 0:, x".to_vec(),
            b"u-1 99999999999999999999:1, x".to_vec(),
            b"u-1 10:4294967296, x".to_vec(),
            b"u_1 1:1, x".to_vec(),
            b" 1:1, x".to_vec(),
            [&b"u-1 3:X 1, "[..], &nested(1000)].concat(),
            [&b"u-1 3:X 1, "[..], &brackets].concat(),
            b"u-1 3:X 1, 8:3:ctl,5:x]".to_vec(),
            b"u-1 3:X 1, 13:3:ctl,1:9#0:~]".to_vec(),
            vec![0xff; 1 << 20],
        ];
        for _ in 0..50 {
            let mut bytes = Vec::new();
            messages.iter().for_each(|message| append_message(&mut bytes, &[message]));
            stream.write_all(&bytes).unwrap();
        }
        let deep = nested(100_000);
        assert!((600_000..1 << 20).contains(&deep.len()), "{} bytes", deep.len());
        for head in ["u-1 3:X 1, ", "u-1 1:1, ", ""] {
            let mut bytes = Vec::new();
            append_message(&mut bytes, &[&[head.as_bytes(), &deep].concat()]);
            stream.write_all(&bytes).unwrap();
        }
        scene.gateway.logs("a message is no reply");
        // It still is a good handler's connection.
        let mut ping = Vec::new();
        Command::Ping { ttl: 0, context: b"there?" }.append(&mut ping);
        stream.write_all(&ping).unwrap();
        let mut all = Vec::new();
        eventually("an answer to the PING", || {
            let mut piece = [0; 1000];
            let count = stream.read(&mut piece).unwrap();
            all.extend_from_slice(&piece[..count]);
            all.windows(6).any(|bytes| bytes == b"there?").then_some(())
        });
        scene.stays_well();
    }
}

fn a_message_longer_than_max_reply_ends_the_connection() {
    for scene in scenes() {
        let mut stream = scene.publisher();
        let mut bytes = Vec::new();
        append_message(&mut bytes, &[&vec![b'x'; (1 << 20) + 1]]);
        let _ = stream.write_all(&bytes);
        ends(&mut stream);
        scene.gateway.logs("a frame of 1048577 bytes, at most 1048576 allowed");
        scene.stays_well();
    }
}

fn a_handler_that_talks_where_it_should_listen_is_overlooked() {
    for mut scene in scenes() {
        let mut stream = ready(&scene.send, SocketType::Pull);
        let mut bytes = Vec::new();
        append_message(&mut bytes, &[b"hello", b"you"]);
        Command::Subscribe(b"x").append(&mut bytes);
        Command::Unknown { name: b"WHAT", data: b"ever" }.append(&mut bytes);
        stream.write_all(&bytes.repeat(1000)).unwrap();
        // It gets requests, as it fetches them, and loses them when it leaves.
        std::thread::sleep(Duration::from_millis(700));
        drop(stream);
        eventually("only the good one", || {
            let answer = scene.front.fetch("/x");
            (answer.status == 200).then_some(())
        });
        scene.stays_well();
    }
}

fn others_are_served_while_strangers_do_all_of_it() {
    for mut scene in scenes() {
        const REQUESTS: usize = 2000;
        let serve = |scene: &mut Scene| {
            let start = Instant::now();
            let mut slowest = Duration::ZERO;
            for _ in 0..REQUESTS {
                let asked = Instant::now();
                assert_eq!(scene.front.fetch("/x").body, b"/x good");
                slowest = slowest.max(asked.elapsed());
            }
            (start.elapsed(), slowest)
        };
        let alone = serve(&mut scene);
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let is_over = stop.clone();
        let place = scene.recv.clone();
        let stranger = std::thread::spawn(move || {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                let Ok(mut stream) = place.connect() else { continue };
                let mut bytes = Greeting::OURS.encode().to_vec();
                append_ready(&mut bytes, SocketType::Pub, None);
                append_message(&mut bytes, &[b"u-1 5:1, no reply"]);
                Command::Ping { ttl: 0, context: b"" }.append(&mut bytes);
                match count % 4 {
                    0 => bytes.extend_from_slice(&[4, 0]),
                    1 => bytes.extend([&[3][..], &(1_u64 << 62).to_be_bytes()].concat()),
                    2 => bytes.extend([1, 0].repeat(1000)),
                    _ => bytes.truncate(40),
                }
                let _ = stream.write_all(&bytes);
                count += 1;
                // As many as the network would bring, not as many as this machine can make.
                std::thread::sleep(Duration::from_millis(1));
            }
            count
        });
        let beside = serve(&mut scene);
        stop.store(true, Ordering::Relaxed);
        let count = stranger.join().unwrap();
        println!(
            "{REQUESTS} requests one by one, total and slowest: {alone:?} alone, {beside:?} beside {count} strangers"
        );
        println!("beside them {:.2} times as long", beside.0.as_secs_f64() / alone.0.as_secs_f64());
        assert!(beside.0 < alone.0 * 5 + Duration::from_secs(5));
        scene.stays_well();
    }
}
