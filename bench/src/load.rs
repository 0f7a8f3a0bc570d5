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
    /// What 99 of 100 waited at most, in milliseconds.
    pub p99: f64,
}

/// Two threads with these connections ask for a URL. Any error is an error.
pub fn wrk(url: &str, connections: u32, seconds: u32) -> io::Result<Load> {
    let output = Command::new("wrk")
        .args(["-t2", "--latency", &format!("-c{connections}"), &format!("-d{seconds}s"), url])
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
    let seconds = parse_time(time)?;
    let p99 = text.lines().find_map(|line| line.trim().strip_prefix("99%"))?;
    Some(Load { requests, seconds, p99: parse_time(p99.trim())? * 1e3 })
}

/// Seconds of a time with its unit.
fn parse_time(time: &str) -> Option<f64> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let (number, unit) =
        units.iter().find_map(|(name, unit)| Some((time.strip_suffix(name)?, unit)))?;
    Some(number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_time_are_found() {
        let p99 = "     99%    1.50ms\n";
        let load = format!("{p99}  x\n  114119 requests in 3.01s, 134.19MB read\n");
        let load = parse(&load).unwrap();
        assert_eq!((load.requests, load.seconds, load.p99), (114_119, 3.01, 1.5));
        let load = parse(&format!("{p99} 9 requests in 1.50m, 1MB read")).unwrap();
        assert_eq!(load.seconds, 90.0);
        assert_eq!(parse_time("812.00us"), Some(812.0 * 1e-6));
        assert!(parse("unable to connect").is_none());
    }
}
