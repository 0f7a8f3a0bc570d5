//! A Debian 12 that is booted with systemd as its process 1, and what a test does with it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::host;
use crate::wait::until;

/// The longest that a command inside may take before the test fails.
const COMMAND_LIMIT: u32 = 180;
/// The longest that a boot or an end may take.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// systemd-nspawn's exit code when the container asked for a reboot and `--keep-unit` is given.
const REBOOT: i32 = 133;

static SHARED: Mutex<Option<Machine>> = Mutex::new(None);
static COUNT: AtomicU32 = AtomicU32::new(0);

/// What a command inside the machine did.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A booted machine; its loopback is the test's own. Dropping it ends it and removes its files.
pub(crate) struct Machine {
    folder: PathBuf,
    cgroup: PathBuf,
    nspawn: Child,
    leader: u32,
    _lock: File,
}

/// The machine that scenarios share, with the package installed, reset to "nothing configured,
/// nothing running".
pub(crate) fn shared() -> SharedMachine {
    let mut slot = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    match slot.as_mut() {
        Some(machine) => machine.reset(),
        None => *slot = Some(Machine::boot()),
    }
    SharedMachine(slot)
}

/// Ends the shared machine, when there is one.
pub(crate) fn end_shared() {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// The shared machine, borrowed for one trial.
pub(crate) struct SharedMachine(MutexGuard<'static, Option<Machine>>);

impl Drop for SharedMachine {
    fn drop(&mut self) {
        if let Some(machine) = self.0.as_ref() {
            machine.explain();
        }
    }
}

impl std::ops::Deref for SharedMachine {
    type Target = Machine;
    fn deref(&self) -> &Machine {
        self.0.as_ref().expect("shared() has booted it")
    }
}

impl std::ops::DerefMut for SharedMachine {
    fn deref_mut(&mut self) -> &mut Machine {
        self.0.as_mut().expect("shared() has booted it")
    }
}

impl Output {
    pub(crate) fn success(&self) -> bool {
        self.code == 0
    }

    /// Standard output and standard error, one after the other.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

#[allow(dead_code, reason = "what a test may want of a machine, whether or not one does today")]
impl Machine {
    /// A machine of its own, booted, with the package under test installed by apt.
    pub(crate) fn boot() -> Self {
        let machine = Self::boot_bare();
        machine.install(&host::package());
        machine
    }

    /// A machine of its own, booted, without Brim.
    pub(crate) fn boot_bare() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Inside the namespace our process id is always 1: the time makes runs differ.
        let time = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
        let name = format!("{time}-{number}");
        let (folder, cgroup) = (host::folder(&name), host::cgroup(&name));
        let lock = make_folder(&folder).expect("a folder for the run");
        fs::create_dir(&cgroup).expect("a cgroup for the run");
        host::layer(&folder).expect("a root of its own");
        let (nspawn, leader) = start(&folder, &cgroup);
        Self { folder, cgroup, nspawn, leader, _lock: lock }
    }

    /// The process id of the machine's systemd, as the test sees it.
    pub(crate) fn leader(&self) -> u32 {
        self.leader
    }

    /// A folder of this machine's run, removed with it: a place for files outside.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a command as root inside.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().expect("nsenter runs");
        assert_ne!(output.status.code(), Some(124), "{words:?} took over {COMMAND_LIMIT} s");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command that must succeed; its standard output.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.success(), "{words:?}: exit code {}\n{}", output.code, output.text());
        output.stdout
    }

    /// Runs a shell script inside; it ends at the first command that fails.
    pub(crate) fn sh(&self, script: &str) -> Output {
        self.run(&["sh", "-euc", script])
    }

    /// Runs a shell script that must succeed; its standard output.
    pub(crate) fn sh_ok(&self, script: &str) -> String {
        self.ok(&["sh", "-euc", script])
    }

    /// The command, not yet started, for tests that need its pipes or let it run on.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", &COMMAND_LIMIT.to_string()])
            .args(["nsenter", "-t", &self.leader.to_string(), "-a", "--"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs([("HOME", "/root"), ("LANG", "C.UTF-8"), ("TERM", "dumb")])
            .envs([("SYSTEMD_COLORS", "0"), ("SYSTEMD_PAGER", "cat")])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        command
    }

    /// Writes a file inside, with the folders above it.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file's folder")).expect("its folder");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Reads a file inside.
    pub(crate) fn read(&self, path: &str) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Removes a file or a folder inside; it may be absent.
    pub(crate) fn remove(&self, path: &str) {
        self.ok(&["rm", "-rf", "--one-file-system", "--", path]);
    }

    /// Whether there is anything of that name inside, a dangling link included.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// Where a path inside is found from outside, mounts of the machine included.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.leader)).join(path.trim_start_matches('/'))
    }

    /// The journal of a unit since the boot, oldest line first.
    pub(crate) fn journal(&self, unit: &str) -> String {
        self.ok(&["journalctl", "--boot", "--output=short-monotonic", "--quiet", "--unit", unit])
    }

    /// A property of a unit, as `systemctl show` prints it.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        let text = self.ok(&["systemctl", "show", "--value", "--property", name, "--", unit]);
        text.trim_end().to_owned()
    }

    /// Waits until a unit is in a state such as `active`, `inactive` or `failed`.
    pub(crate) fn await_state(&self, unit: &str, state: &str) {
        until(&format!("{unit} is {state}"), Duration::from_secs(60), || {
            (self.property(unit, "ActiveState") == state).then_some(())
        });
    }

    /// Copies a package in and installs it by apt, as a user does.
    pub(crate) fn install(&self, package: &Path) -> Output {
        let output = self.try_install(package);
        assert!(output.success(), "apt: exit code {}\n{}", output.code, output.text());
        output
    }

    /// As [`Machine::install`]; apt may refuse.
    pub(crate) fn try_install(&self, package: &Path) -> Output {
        let name = package.file_name().expect("a file name").to_string_lossy();
        let inside = format!("/root/{name}");
        fs::copy(package, self.path(&inside)).expect("the package copied in");
        self.run(&["apt-get", "install", "--yes", "--quiet", "--allow-downgrades", &inside])
    }

    /// Reboots, and waits until the system is up again.
    pub(crate) fn reboot(&mut self) {
        self.ok(&["systemctl", "reboot"]);
        let nspawn = &mut self.nspawn;
        let status = until("the machine goes down", BOOT_LIMIT, || nspawn.try_wait().ok()?);
        assert_eq!(status.code(), Some(REBOOT), "the machine ended: {status}");
        (self.nspawn, self.leader) = start(&self.folder, &self.cgroup);
    }

    /// Prints the end of the journal when a test is failing: the machine is gone when somebody looks.
    fn explain(&self) {
        if !std::thread::panicking() {
            return;
        }
        let leader = self.leader.to_string();
        let output = Command::new("timeout")
            .args(["20", "nsenter", "-t", &leader, "-a", "journalctl", "--boot", "--no-pager"])
            .args(["--quiet", "--lines=60", "--output=short-monotonic"])
            .output();
        if let Ok(output) = output {
            eprintln!("the machine's journal:\n{}", String::from_utf8_lossy(&output.stdout));
        }
    }

    /// Back to a fresh installation: no configuration, no enabled or running unit, no counters.
    pub(crate) fn reset(&self) {
        self.sh_ok(
            "systemctl stop 'brim-daemon@*.timer' 'brim-daemon@*.service'
             systemctl stop 'brim@*.service' 'brim-listen@*.socket'
             rm -rf /var/lib/brim/* /var/lib/systemd/timers/stamp-brim* /run/brim-daemon
             rm -rf /etc/brim/brim.conf.d/* /run/brim-state/* /run/brim/* /var/log/brim/*
             rm -rf /etc/systemd/system/*.wants/brim* /etc/systemd/system/brim*
             rm -rf /run/systemd/system/brim* /run/systemd/system.control/brim*
             systemd-tmpfiles --create brim.conf
             systemctl daemon-reload
             systemctl reset-failed",
        );
        let left =
            self.sh_ok("systemctl list-units --plain --no-legend 'brim*' | grep -v slice || :");
        assert_eq!(left, "", "units that outlived the reset");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.explain();
        // The cgroup holds systemd-nspawn and all of the machine, and nothing else.
        let _ = fs::write(self.cgroup.join("cgroup.kill"), "1");
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
        let started = Instant::now();
        while host::remove_cgroup(&self.cgroup).is_err()
            && started.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = host::command(&["umount", &self.folder.join("root").to_string_lossy()]);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn make_folder(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Starts systemd-nspawn in the cgroup, and waits until the system inside is up: its leader.
fn start(folder: &Path, cgroup: &Path) -> (Child, u32) {
    let log = File::create(folder.join("nspawn.log")).expect("a log");
    let mut nspawn = Command::new("sh")
        .args(["-euc", "echo $$ >\"$1/cgroup.procs\"; shift; exec \"$@\"", "sh"])
        .arg(cgroup)
        .args(["systemd-nspawn", "--register=no", "--keep-unit", "--console=pipe", "--quiet"])
        .args(["--machine=brim-test", "--link-journal=no", "--resolv-conf=off"])
        .args(["--timezone=off", "--boot", "--directory"])
        .arg(folder.join("root"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("systemd-nspawn starts");
    let leader = until("systemd as the machine's first process", BOOT_LIMIT, || {
        if let Ok(Some(status)) = nspawn.try_wait() {
            let log = fs::read_to_string(folder.join("nspawn.log")).unwrap_or_default();
            panic!("systemd-nspawn ended: {status}\n{log}");
        }
        systemd_below(nspawn.id())
    });
    until("the end of the boot", BOOT_LIMIT, || {
        let output = Command::new("nsenter")
            .args(["-t", &leader.to_string(), "-a", "--", "systemctl", "is-system-running"])
            .output()
            .ok()?;
        let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ["running", "degraded"].contains(&state.as_str()).then_some(())
    });
    (nspawn, leader)
}

/// The child of systemd-nspawn that has become systemd.
fn systemd_below(nspawn: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("systemd"))
    })
}
