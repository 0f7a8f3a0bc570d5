//! An answer that comes before the whole request was read must arrive all the same.

use std::process::Command;

use crate::support::serve;

const TIMES: usize = 5;

fn twenty_megabytes() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 20_000_000]).unwrap();
    file
}

fn curl(arguments: &[&str]) -> String {
    let format = ["--silent", "--show-error", "--max-time", "30", "--write-out", " %{http_code}"];
    let output = Command::new("curl").args(format).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn curl_sees_the_413_of_a_large_upload() {
    let daemon = serve("apps = echo");
    let upload = twenty_megabytes();
    let url = format!("http://{}/echo", daemon.address());
    let data = format!("@{}", upload.path().display());
    for _ in 0..TIMES {
        let seen = curl(&["--data-binary", &data, &url]);
        assert_eq!(seen, "413 Payload Too Large: the body is larger than 16777216 bytes\n 413");
    }
}

#[test]
fn curl_sees_the_413_without_asking_first() {
    let daemon = serve("apps = echo");
    let upload = twenty_megabytes();
    let url = format!("http://{}/echo", daemon.address());
    let data = format!("@{}", upload.path().display());
    for _ in 0..TIMES {
        let seen = curl(&["--header", "Expect:", "--data-binary", &data, &url]);
        assert!(seen.ends_with(" 413"), "{seen}");
        let chunked = ["--header", "Expect:", "--header", "Transfer-Encoding: chunked"];
        let seen = curl(&[&chunked[..], &["--data-binary", &data, &url]].concat());
        // Echo reads its 64 KiB and is content: the chunks are not even looked at.
        assert!(seen.ends_with(" 200"), "{} bytes", seen.len());
    }
}

#[test]
fn python_sees_the_413_of_a_large_upload() {
    let daemon = serve("apps = echo");
    let script = "import http.client, sys\n\
        for _ in range(int(sys.argv[2])):\n\
        \x20   client = http.client.HTTPConnection(sys.argv[1], timeout=30)\n\
        \x20   client.request('POST', '/echo', body=b'x' * 20_000_000)\n\
        \x20   response = client.getresponse()\n\
        \x20   print(response.status, len(response.read()))\n";
    let address = daemon.address().to_string();
    let output = Command::new("python3")
        .args(["-c", script, &address, &TIMES.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = String::from_utf8(output.stdout).unwrap();
    assert_eq!(seen.lines().collect::<Vec<_>>(), vec!["413 62"; TIMES]);
}

#[test]
fn an_answer_to_part_of_a_body_arrives_whole() {
    let daemon = serve("apps = echo stats");
    for target in ["/echo", "/stats", "/none"] {
        for _ in 0..TIMES {
            let mut client = daemon.client();
            client.send(format!(
                "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 15000000\r\n\r\n"
            ));
            client.try_send(vec![b'x'; 15_000_000]);
            let response = client.response();
            let status = if target == "/echo" {
                200
            } else if target == "/stats" {
                501
            } else {
                404
            };
            assert_eq!(response.status, status, "{target}");
        }
    }
}

#[test]
fn a_client_that_never_ends_its_upload_is_cut_after_linger_time() {
    let daemon = serve("apps = echo\nbody_limit = 1K\nlinger_time = 300ms");
    let mut client = daemon.client();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    while client.try_send([b'x'; 1000]) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_client_that_goes_silent_after_its_413_is_cut_after_linger_timeout() {
    let daemon = serve("apps = echo\nbody_limit = 1K\nlinger_timeout = 200ms");
    let mut client = daemon.client();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    assert_eq!(client.response().status, 413);
    // The daemon's half is closed at once, its whole end a little later.
    client.is_closed();
    while client.try_send("x") {
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

#[test]
fn what_is_pipelined_behind_the_last_request_does_not_cost_its_answer() {
    let daemon = serve("apps = echo");
    let body = vec![b'x'; 60_000];
    for _ in 0..TIMES {
        let mut client = daemon.client();
        client.send(
            "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n",
        );
        client.send([&body[..], &vec![b'y'; 3_000_000]].concat());
        let response = client.response();
        assert!(response.closes());
        assert_eq!(response.body.len(), body.len());
        client.is_closed();
    }
}

#[test]
fn a_body_that_comes_after_its_404_begins_no_head() {
    let daemon = serve("apps = stats\nhead_timeout = 200ms\nlinger_timeout = 100ms");
    let mut clients: Vec<_> = (0..300).map(|_| daemon.client()).collect();
    for (step, client) in clients.iter_mut().enumerate() {
        client.send("POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n");
        // Head and body are two packets for many clients; the answer comes in between.
        (0..step * 10).for_each(|_| std::hint::spin_loop());
        client.try_send("body");
    }
    std::thread::sleep(std::time::Duration::from_millis(600));
    for client in &mut clients {
        assert_eq!(client.response().status, 404);
        client.half_close();
        client.is_closed();
    }
    assert!(daemon.stats()["wsgi"]["status_408_count"].is_null());
    assert_eq!(daemon.stats()["wsgi"]["status_404_count"], 300);
}
