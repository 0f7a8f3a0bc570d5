//! What a section serves, and a command that tries it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use brim_config::{Address, GatewaySection, HttpSection, Kind, Reader, SectionName, Tree};

use super::listen::Listening;

/// Two lines for each listener: its address, and a command that tries it. A line for each handler of a
/// gateway: where it connects to.
pub(super) fn of(tree: &Tree, name: &SectionName, listening: &[Listening]) -> String {
    match name.kind {
        Kind::Tcp => {
            listening.iter().map(|listener| netcat(&listener.address, "", "tcp")).collect()
        }
        Kind::Udp => {
            listening.iter().map(|listener| netcat(&listener.address, "u", "udp")).collect()
        }
        Kind::Wsgi => web(tree, name, listening),
        Kind::Gateway => handlers(tree, name),
        // The socket for figures is for its own programs.
        Kind::Daemons => String::new(),
    }
}

fn netcat(address: &Address, option: &str, scheme: &str) -> String {
    match address {
        Address::Tcp(address) => {
            let address = reachable(*address);
            let option = if option.is_empty() { String::new() } else { format!("-{option} ") };
            format!("{scheme}://{address}\n    nc {option}{} {}\n", address.ip(), address.port())
        }
        Address::Unix(file) => {
            format!("{address}\n    nc -{option}U {}\n", quoted(&file.display().to_string()))
        }
    }
}

fn handlers(tree: &Tree, name: &SectionName) -> String {
    let endpoint = |address: &Address| match address {
        Address::Tcp(address) => format!("tcp://{}", reachable(*address)),
        Address::Unix(file) => format!("ipc://{}", file.display()),
    };
    let (gateway, _) = GatewaySection::read(tree, name);
    let line = |handler: &brim_config::HandlerSection| {
        let (send, recv) = (endpoint(&handler.send_spec), endpoint(&handler.recv_spec));
        format!("handlers of {}: requests at {send}, replies to {recv}\n", handler.name)
    };
    gateway.handlers.iter().map(line).collect()
}

fn web(tree: &Tree, name: &SectionName, listening: &[Listening]) -> String {
    let (path, arguments) = example(tree, name);
    // A certificate for a try is nobody's.
    let (scheme, trust) = match HttpSection::read(tree, name).0.tls.is_on() {
        true => ("https", "--insecure "),
        false => ("http", ""),
    };
    listening
        .iter()
        .map(|listener| match &listener.address {
            Address::Tcp(address) => {
                let url = format!("{scheme}://{}", reachable(*address));
                format!("{url}/\n    curl {trust}{url}{path}{arguments}\n")
            }
            Address::Unix(file) => format!(
                "{}\n    curl --unix-socket {} http://localhost{path}{arguments}\n",
                listener.address,
                quoted(&file.display().to_string())
            ),
        })
        .collect()
}

/// A path that the section's first app answers, and what curl should send there.
fn example(tree: &Tree, name: &SectionName) -> (String, &'static str) {
    let Some(app) = HttpSection::read(tree, name).0.apps.into_iter().next() else {
        return ("/".to_owned(), "");
    };
    let mut reader = Reader::new(tree, &app);
    let call: String = reader.get("call").unwrap_or_else(|| app.clone());
    let (default, arguments) = match call.as_str() {
        "echo" | "brim.wsgi_echo.WSGIEcho" => ("/echo", " --data-binary hello"),
        "stats" | "brim.wsgi_stats.WSGIStats" => ("/stats", ""),
        _ => ("/", ""),
    };
    let plain = |path: &str| path.starts_with('/') && quoted(path) == path;
    let path = reader.get("path").filter(|path: &String| plain(path));
    let path = path.or_else(|| {
        let routes: String = reader.get("route")?;
        // What stands before the pattern.
        let first = routes.split_whitespace().find(|route| route.starts_with('/'))?;
        first.split('(').next().filter(|path| plain(path)).map(str::to_owned)
    });
    (path.unwrap_or_else(|| default.to_owned()), arguments)
}

/// The address, or for a wildcard one that this machine has.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-~:".contains(&byte)) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_reached_by_the_loopback() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:8901"), "127.0.0.1:8901");
        assert_eq!(reached("[::]:8901"), "[::1]:8901");
        assert_eq!(reached("10.1.2.3:80"), "10.1.2.3:80");
    }

    #[test]
    fn a_shell_takes_what_is_quoted_for_one_word() {
        assert_eq!(quoted("/run/x.sock"), "/run/x.sock");
        assert_eq!(quoted("/run/it's"), r"'/run/it'\''s'");
    }
}
