//! The stats app.

use crate::support::{Home, get, post, serve};

#[test]
fn the_document_has_brims_shape() {
    let daemon = serve("apps = echo stats\nworkers = 2");
    for target in ["/echo", "/echo", "/invalid"] {
        get(&daemon, target);
    }
    // Two workers: the one that is asked need not be the one that counts the last request.
    daemon.saves("request_count", 3);
    let response = get(&daemon, "/stats");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(response.text().ends_with("}\n"));
    let stats: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let start = stats["start_time"].as_u64().unwrap();
    let section = &stats["wsgi"];
    assert!(section["0"]["start_time"].as_u64().unwrap() >= start);
    assert!(section["1"]["start_time"].as_u64().unwrap() >= start);
    assert_eq!(section["start_time"], serde_json::Value::Null, "a worker's own is not rolled up");
    // The request that asks is not in it yet.
    assert_eq!(section["request_count"], 3);
    assert_eq!(section["status_2xx_count"], 2);
    assert_eq!(section["status_4xx_count"], 1);
    assert_eq!(section["status_404_count"], 1);
    let of_workers = ["0", "1"].map(|worker| section[worker]["request_count"].as_u64());
    assert_eq!(of_workers.iter().flatten().sum::<u64>(), 3);
}

#[test]
fn zeros_are_left_out() {
    let daemon = serve("apps = echo stats");
    let text = get(&daemon, "/stats").text().to_owned();
    assert!(!text.contains(":0"), "{text}");
    assert!(!text.contains("status_5xx_count"), "{text}");
}

#[test]
fn every_configured_section_is_listed_even_when_it_does_not_run() {
    let home = Home::new("");
    let text = format!(
        "[wsgi#x]\nport = 1\n[wsgi]\nlisten = {}\napps = stats\n[wsgi:y]\nport = 2\n",
        home.address()
    );
    home.write_config(&text);
    let daemon = home.shared().start();
    let stats = daemon.stats();
    assert_eq!(stats["wsgi#x"], serde_json::json!({}));
    assert_eq!(stats["wsgi#y"], serde_json::json!({}));
    assert!(stats["wsgi"].is_object());
}

#[test]
fn a_section_with_a_name_is_listed_in_brims_spelling() {
    let daemon = Home::of("wsgi:alternate", "apps = stats").shared().start();
    assert!(daemon.stats()["wsgi#alternate"]["0"].is_object());
    let daemon = Home::of("wsgi#alternate", "apps = stats").shared().start();
    assert!(daemon.stats()["wsgi#alternate"]["0"].is_object());
}

#[test]
fn other_methods_are_501_without_a_body() {
    let daemon = serve("apps = stats");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let mut client = daemon.client();
        client.send(format!("{method} /stats HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text()), (501, ""), "{method}");
        assert_eq!(response.header("content-length"), Some("0"));
        assert_eq!(client.get("/stats").status, 200, "the connection goes on");
    }
    assert_eq!(daemon.stats()["wsgi"]["status_501_count"], 5);
}

#[test]
fn head_says_the_same_as_get_without_the_body() {
    let daemon = serve("apps = stats\nworkers = 1");
    let mut client = daemon.client();
    // The counters gain a digit now and then; a few requests first keep the length the same.
    (0..3).for_each(|_| drop(client.get("/stats")));
    let get = client.get("/stats");
    client.send("HEAD /stats HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.response_to_head();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("application/json"));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(client.get("/stats").status, 200);
}

#[test]
fn jsonp_wraps_the_document_in_a_call() {
    let daemon = serve("apps = stats");
    for query in ["jsonp=call.it", "callback=call.it", "callback=other&jsonp=call.it"] {
        let response = get(&daemon, &format!("/stats?{query}"));
        assert_eq!(response.header("content-type"), Some("application/javascript"));
        let text = response.text();
        assert!(text.starts_with("call.it({") && text.ends_with("})"), "{query}: {text}");
    }
}

#[test]
fn the_last_of_repeated_parameters_counts() {
    let daemon = serve("apps = stats");
    let text = get(&daemon, "/stats?jsonp=a&x=1&jsonp=b").text().to_owned();
    assert!(text.starts_with("b({"), "{text}");
    assert!(get(&daemon, "/stats?jsonp=a;jsonp=%63").text().starts_with("c({"));
}

#[test]
fn an_empty_jsonp_means_plain_json_whatever_callback_says() {
    let daemon = serve("apps = stats");
    for query in ["jsonp=&callback=x", "jsonp&callback=x", "jsonp=", "callback=", "other=1"] {
        let response = get(&daemon, &format!("/stats?{query}"));
        assert_eq!(response.header("content-type"), Some("application/json"), "{query}");
    }
}

#[test]
fn a_callback_that_is_no_name_is_400() {
    let daemon = serve("apps = stats");
    let long = "x".repeat(129);
    for callback in ["alert(1)//", "a-b", "1a", "a..b", ".a", "a.", "a%20b", "%3Cscript%3E", &long]
    {
        let response = get(&daemon, &format!("/stats?jsonp={callback}"));
        assert_eq!(response.status, 400, "{callback}");
        assert_eq!(response.header("content-type"), Some("text/plain"));
    }
    assert_eq!(get(&daemon, &format!("/stats?jsonp={}", "x".repeat(128))).status, 200);
    assert_eq!(get(&daemon, "/stats?jsonp=$_.a1").status, 200);
}

#[test]
fn both_names_and_a_path_of_ones_own_work() {
    let daemon = serve(
        "apps = mine old\n[mine]\ncall = stats\npath = /my/stats\n\
         [old]\ncall = brim.wsgi_stats.WSGIStats\npath = /old",
    );
    assert_eq!(get(&daemon, "/my/stats").status, 200);
    assert_eq!(get(&daemon, "/old").status, 200);
    assert_eq!(get(&daemon, "/stats").status, 404);
    assert_eq!(post(&daemon, "/old", b"").status, 501);
}
