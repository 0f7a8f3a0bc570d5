//! A server in Python, outside of the machine: a process of its own, which can be killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A running script; dropping it kills it.
pub(crate) struct Script(Child);

impl Script {
    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(source: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", source])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its standard output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "it did not start (handlers: apt install python3-zmq)");
        Self(child)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
