//! Sections of gateways and handlers, read.

use std::fs;
use std::path::Path;

use brim_config::{GatewaySection, HandlerSection, Kind, Role, SectionName, Tree};

fn tree(text: &str) -> Tree {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("brim.conf");
    fs::write(&file, text).expect("a file");
    Tree::load_file(&file).0
}

fn problems(text: &str) -> Vec<String> {
    let (_, problems) = HandlerSection::read(&tree(text), "chat");
    problems
        .iter()
        .map(|problem| problem.to_string())
        .map(|text| text.split_once("brim.conf:").map_or(text.clone(), |(_, rest)| rest.to_owned()))
        .collect()
}

const GOOD: &str = "[gateway]\n[chat]\ncall = handler\nsend_spec = tcp://*:9997\n\
                    recv_spec = ipc:///run/brim/chat.sock\n";

#[test]
fn a_handler_has_two_endpoints_and_belongs_to_a_gateway() {
    let tree = tree(&format!(
        "{GOOD}[gateway#two]\nlink = /run/two\n[other]\ncall = handler\ngateway = two\n\
         send_spec = tcp://127.0.0.1:1\nrecv_spec = tcp://[::1]:2\nmax_peers = 3\n"
    ));
    let (handler, problems) = HandlerSection::read(&tree, "chat");
    let handler = handler.unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(handler.send_spec.to_string(), "0.0.0.0:9997");
    assert_eq!(handler.recv_spec.to_string(), "unix:/run/brim/chat.sock");
    assert_eq!(handler.send_ident, "chat");
    assert_eq!(handler.link, Path::new("/run/brim/gateway.sock"));
    assert_eq!(handler.max_inline, 1 << 20);
    let name = SectionName { kind: Kind::Gateway, name: Some("two".into()) };
    let (gateway, _) = GatewaySection::read(&tree, &name);
    assert_eq!(gateway.handlers.len(), 1);
    let roles: Vec<_> = gateway.endpoints().iter().map(|endpoint| endpoint.role).collect();
    assert_eq!(roles, [Role::Link, Role::Send(0), Role::Recv(0)]);
    let addresses: Vec<_> =
        gateway.server.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["unix:/run/two", "127.0.0.1:1", "[::1]:2"]);
    assert_eq!(HandlerSection::read(&tree, "other").0.unwrap().link, Path::new("/run/two"));
}

#[test]
fn what_is_wrong_with_a_handler_is_told_with_its_line() {
    assert_eq!(
        problems("[chat]\ncall = handler\nsend_spec = ipc://x\n"),
        [
            "1: [chat] gateway: there is no section [gateway], which meets the handlers",
            "3: [chat] send_spec: \"ipc://x\" is not an endpoint (tcp://127.0.0.1:9997, tcp://*:9997, \
             ipc:///absolute/path; names are not looked up)",
            "1: [chat] recv_spec: must be set",
        ]
    );
    for (line, message) in [
        ("recv_spec = tcp://*:9997", "6: [chat] recv_spec: is that of send_spec, expected another"),
        ("recv_spec = tcp://*:0", "6: [chat] recv_spec: \"tcp://*:0\" is not an endpoint"),
        ("send_ident = a_b", "6: [chat] send_ident: \"a_b\" is not 1 to 255 letters"),
        ("handler_mode = 888", "6: [chat] handler_mode: \"888\" is not permissions from 0600"),
        ("handler_mode = 0440", "6: [chat] handler_mode: \"0440\" is not permissions from 0600"),
        (
            "upload_store = /tmp/x",
            "6: [chat] upload_store: /tmp/x is below /tmp, which the gateway",
        ),
        ("upload_store = /home", "6: [chat] upload_store: /home is below /home"),
        ("download_credits = 1K", "6: [chat] download_credits: 1024 is less than 64K, and not 0"),
        ("protocol = xml", "6: [chat] protocol: \"xml\" is not one of json, tnetstring"),
        ("gateway = a b", "6: [chat] gateway: \"a b\" is not the name of a gateway"),
    ] {
        let found = problems(&format!("{GOOD}{line}\n"));
        assert!(found.iter().any(|found| found.starts_with(message)), "{line}: {found:?}");
    }
}
