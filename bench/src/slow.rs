//! What an attack by slow clients does to the others.

use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Way;
use crate::peers::{ECHO, Front};
use crate::server::Server;
use crate::site::{LARGE, SMALL, Site};
use crate::steady;

/// Connections of the attack.
const ATTACKERS: u32 = 2000;
/// Connections that it opens per second.
const RATE: u32 = 1000;
/// How long the honest clients are watched.
const WATCH: Duration = Duration::from_secs(10);
/// Time for the attackers to come, and to go.
const SETTLE: Duration = Duration::from_secs(6);
/// How much longer their slowest hundredth may wait.
const WANTED: f64 = 3.0;

/// The three ways to be slow.
#[derive(Clone, Copy, Debug)]
enum Attack {
    Head,
    Body,
    Read,
}

impl Attack {
    const ALL: [Self; 3] = [Self::Head, Self::Body, Self::Read];

    fn name(self) -> &'static str {
        match self {
            Self::Head => "slow head",
            Self::Body => "slow body",
            Self::Read => "slow read",
        }
    }

    /// Starts slowhttptest, for longer than anybody watches.
    fn start(self, server: SocketAddr) -> io::Result<Attackers> {
        let time = (WATCH * 3).as_secs().to_string();
        // Attackers have machines of their own: theirs is what processor time nobody else wants.
        let mut command = Command::new("chrt");
        command.args(["--idle", "0", "slowhttptest"]);
        match self {
            Self::Head => command.args(["-H", "-i", "5", "-x", "24"]),
            Self::Body => command.args(["-B", "-i", "5", "-x", "24", "-s", "65536"]),
            // Of a large file, some bytes per second, through a small window.
            Self::Read => command.args(["-X", "-n", "5", "-z", "32", "-w", "512", "-y", "1024"]),
        };
        let path = match self {
            Self::Head => SMALL,
            Self::Body => ECHO,
            Self::Read => LARGE,
        };
        command.args(["-c", &ATTACKERS.to_string(), "-r", &RATE.to_string(), "-l", &time]);
        command.args(["-p", "3", "-u", &format!("http://{server}{path}")]);
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Attackers(silent.spawn()?))
    }
}

/// An attack, ended when dropped.
struct Attackers(Child);

impl Drop for Attackers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Watches the honest clients of each server without and with each attack and prints the table.
pub fn run(brim: &Server, nginx: &Server, site: &Site) -> io::Result<()> {
    println!("1000 honest requests/s for 1 KiB beside {ATTACKERS} slow clients (slowhttptest)");
    println!(
        "  {:<22}{:>12}{:>14}{:>8}{:>9}{:>8}{:>16}",
        "", "p99, ms", "attacked, ms", "times", "at most", "lost", "slow ones left"
    );
    for attack in Attack::ALL {
        watch(&format!("{}, brim-http", attack.name()), attack, brim, site, Some(WANTED))?;
        watch(&format!("{}, nginx", attack.name()), attack, nginx, site, None)?;
    }
    println!();
    Ok(())
}

/// One line of it.
fn watch(
    name: &str,
    attack: Attack,
    server: &Server,
    site: &Site,
    wanted: Option<f64>,
) -> io::Result<()> {
    let way = Way::to(server.address, Front::Plain, site)?;
    let calm = steady::ask(&way, SMALL, WATCH)?;
    let attackers = attack.start(server.address)?;
    wait_for(server.address, ATTACKERS as usize)?;
    let attacked = steady::ask(&way, SMALL, WATCH)?;
    let left = connections_to(server.address)?;
    drop(attackers);
    wait_for(server.address, 0)?;
    let (before, after) = (calm.quantile(0.99), attacked.quantile(0.99));
    println!(
        "  {name:<22}{:>12.2}{:>14.2}{:>8.2}{:>9}{:>8}{left:>16}",
        before.as_secs_f64() * 1e3,
        after.as_secs_f64() * 1e3,
        after.as_secs_f64() / before.as_secs_f64(),
        wanted.map_or(String::new(), |wanted| format!("{wanted:.0}")),
        calm.lost + attacked.lost,
    );
    Ok(())
}

/// Waits until (about) so many connections are open, though not for ever: a server may end some.
fn wait_for(server: SocketAddr, count: usize) -> io::Result<()> {
    let deadline = Instant::now() + SETTLE;
    while connections_to(server)?.abs_diff(count) > count / 100 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Connections that are established to an IPv4 address, as the kernel lists them.
fn connections_to(server: SocketAddr) -> io::Result<usize> {
    let port = format!(":{:04X}", server.port());
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let established = table.lines().filter(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some("01")
    });
    Ok(established.count())
}
