//! wrk, and what it says.

use std::io;
use std::process::Command;

/// What wrk saw.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests answered.
    pub requests: u64,
    /// How long that took, in seconds.
    pub seconds: f64,
}

/// Two threads with these connections ask for a URL. Any error is an error.
pub fn wrk(url: &str, connections: u32, seconds: u32) -> io::Result<Load> {
    let output = Command::new("wrk")
        .args(["-t2", &format!("-c{connections}"), &format!("-d{seconds}s"), url])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(io::Error::other(format!("errors under wrk on {url}:\n{text}")));
    }
    parse(&text).ok_or_else(|| io::Error::other(format!("wrk on {url} said:\n{text}")))
}

fn parse(text: &str) -> Option<Load> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    let mut words = line.split_whitespace();
    let requests = words.next()?.parse().ok()?;
    let time = words.nth(2)?.trim_end_matches(',');
    let seconds = match time.strip_suffix('m') {
        Some(minutes) => minutes.parse::<f64>().ok()? * 60.0,
        None => time.strip_suffix('s')?.parse().ok()?,
    };
    Some(Load { requests, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_time_are_found() {
        let load = parse("  x\n  114119 requests in 3.01s, 134.19MB read\n").unwrap();
        assert_eq!((load.requests, load.seconds), (114_119, 3.01));
        assert_eq!(parse("9 requests in 1.50m, 1MB read").unwrap().seconds, 90.0);
        assert!(parse("unable to connect").is_none());
    }
}
