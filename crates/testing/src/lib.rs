//! Servers under test, for the tests of other crates.
//!
//! The test plays systemd: a [`Home`] holds a configuration and a socket, and starts a [`Server`], which
//! says when it is ready and is ended with the test. Whatever fails here fails the test.
#![forbid(unsafe_code)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod home;
mod process;
mod server;
mod tools;

pub use home::Home;
pub use process::{Ended, Process, saved};
pub use server::Server;
pub use tools::python_with;

/// The longest that anything may take which ought to happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again and again until there is something, and says what it waited for when there is not.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The program of `examples/` that cargo has built beside this program.
pub fn example(program: &str, name: &str) -> PathBuf {
    let path = Path::new(program).with_file_name("examples").join(name);
    assert!(path.exists(), "{} is not there: cargo build --examples makes it", path.display());
    path
}

/// A script in this folder that runs a program in a network of its own, in which the kernel has only this
/// port to give.
pub fn alone(folder: &Path, program: &str, port: u16) -> PathBuf {
    let path = folder.join("alone");
    let script = format!(
        "#!/bin/sh\nexec unshare --map-root-user --net /bin/sh -euc 'ip link set lo up\n\
         echo {port} {port} >/proc/sys/net/ipv4/ip_local_port_range\nexec \"$@\"' sh {program} \"$@\"\n"
    );
    std::fs::write(&path, script).expect("a script");
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("a program");
    path
}
