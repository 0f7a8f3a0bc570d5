//! The machine that runs the test: what it must have, the cached root file system, the namespaces.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

/// The packages of the booted Debian beside the minimal ones: those that Brim's package needs or
/// recommends, and the clients that scenarios run inside.
const PACKAGES: &str =
    "systemd systemd-sysv dbus polkitd man-db curl iproute2 netcat-openbsd procps python3-minimal";

/// Units of it that would work on their own accord while a test measures, or hold apt's locks.
const MASKED: &[&str] = &[
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "man-db.timer",
];

/// The programs that a run needs, each with the Debian package that has it.
const TOOLS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("ip", "iproute2"),
    ("curl", "curl"),
    ("wrk", "wrk"),
    ("python3", "python3"),
    ("slowhttptest", "slowhttptest"),
    ("lintian", "lintian"),
    ("dpkg-deb", "dpkg"),
    ("mandoc", "mandoc"),
    ("man", "man-db"),
];

/// Says, in the environment of the second execution, that the namespaces are there.
const INSIDE: &str = "BRIM_SYSTEM_TEST_INSIDE";

/// Whether this is the second execution, inside the namespaces.
pub(crate) fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Checks what the machine has, and makes the root file system unless it is cached. This happens
/// outside the namespaces, where there is a network.
pub(crate) fn prepare() -> Result<(), String> {
    if !geteuid().is_root() {
        return Err("it boots a container: run it as root".into());
    }
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| !in_path(tool)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        let missing = missing.join(" ");
        return Err(format!("missing on this machine: {missing}; run `make setup`"));
    }
    if !package().is_file() {
        let package = package();
        return Err(format!("no package at {}; run `make deb`", package.display()));
    }
    // apt verifies signatures as a user of its own, and says nothing of this when it fails.
    let null = fs::metadata("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    if null.mode() & 0o666 != 0o666 {
        let mode = null.mode() & 0o7777;
        return Err(format!("/dev/null has mode {mode:o}: make it 666, or apt cannot work"));
    }
    make_root().map_err(|error| format!("the root file system: {error}"))
}

/// Executes this program again in namespaces of its own. Returns only when that fails.
pub(crate) fn enter() -> String {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return format!("own path: {error}"),
    };
    let error = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .env_remove("RUST_BACKTRACE")
        .exec();
    format!("unshare: {error}")
}

/// The first steps inside: the loopback up, a `/run` of our own for systemd-nspawn's notes, the
/// unified cgroup tree (also where the machine itself mounts version 1), and the remains of runs
/// that were killed.
pub(crate) fn settle() -> Result<(), String> {
    command(&["ip", "link", "set", "lo", "up"])?;
    command(&["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])?;
    if cgroup_type() != "cgroup2fs" && kernel_has_cgroup2() {
        command(&["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"])?;
    }
    remove_stale_runs();
    Ok(())
}

/// The package under test: `$BRIM_DEB`, or the one that `make deb` leaves in the target directory.
pub(crate) fn package() -> PathBuf {
    std::env::var_os("BRIM_DEB").map_or_else(
        || target().join(format!("debian/brim_{}_amd64.deb", env!("CARGO_PKG_VERSION"))),
        PathBuf::from,
    )
}

/// The repository.
pub(crate) fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Where root file systems and runs live.
fn work() -> PathBuf {
    target().join("system")
}

/// The cached root file system.
pub(crate) fn root() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (PACKAGES, MASKED).hash(&mut hasher);
    work().join(format!("root-{:016x}", hasher.finish()))
}

/// The folder of a run.
pub(crate) fn folder(run: &str) -> PathBuf {
    work().join(format!("run-{run}"))
}

/// The cgroup of a run.
pub(crate) fn cgroup(run: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(format!("brim-test-{run}"))
}

/// Removes a cgroup and those below it; an error while a process is in one of them.
pub(crate) fn remove_cgroup(cgroup: &Path) -> io::Result<()> {
    let below = fs::read_dir(cgroup)?.flatten().filter(|entry| entry.path().is_dir());
    for entry in below {
        remove_cgroup(&entry.path())?;
    }
    fs::remove_dir(cgroup)
}

/// Makes the folder `root` of a run: a writable layer over the cached root file system, or a copy of it
/// where overlayfs cannot be had (a container whose own files are such layers).
pub(crate) fn layer(run: &Path) -> Result<(), String> {
    let [top, work, merged] = ["top", "work", "root"].map(|name| run.join(name));
    for folder in [&top, &work, &merged] {
        fs::create_dir(folder).map_err(|error| error.to_string())?;
    }
    let (root, merged) = (root(), merged.to_string_lossy().into_owned());
    let layers = [("lowerdir", &root), ("upperdir", &top), ("workdir", &work)]
        .map(|(name, path)| format!("{name}={}", path.display()));
    command(&["mount", "-t", "overlay", "-o", &layers.join(","), "brim-test", &merged]).or_else(
        |_| {
            let from = format!("{}/.", root.display());
            command(&["cp", "-a", "--reflink=auto", &from, &merged])
        },
    )?;
    Ok(())
}

/// Runs a command of this machine to its end; the error holds all it printed.
pub(crate) fn command(words: &[&str]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("no command")?;
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("{words:?}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)))
}

/// The target directory: this program is `TARGET/PROFILE/deps/system-HASH`.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(|| repository().join("target"), Path::to_path_buf)
}

fn in_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

fn make_root() -> io::Result<()> {
    let root = root();
    fs::create_dir_all(work())?;
    let lock = File::create(work().join("root.lock"))?;
    lock.lock()?;
    if root.is_dir() {
        return Ok(());
    }
    let unfinished = root.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    eprintln!("system test: making a Debian 12 root file system (once)");
    let status = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--include"])
        .arg(PACKAGES.replace(' ', ","))
        .arg("bookworm")
        .arg(&unfinished)
        .args(std::env::var_os("BRIM_DEBIAN_MIRROR"))
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("mmdebstrap: {status}")));
    }
    // Each copy is a machine of its own.
    fs::write(unfinished.join("etc/machine-id"), "")?;
    fs::write(unfinished.join("etc/hostname"), "brim-test\n")?;
    fs::write(unfinished.join("etc/hosts"), "127.0.0.1 localhost brim-test\n::1 localhost\n")?;
    for unit in MASKED {
        let mask = unfinished.join("etc/systemd/system").join(unit);
        std::os::unix::fs::symlink("/dev/null", mask)?;
    }
    fs::rename(&unfinished, &root)
}

fn cgroup_type() -> String {
    command(&["stat", "-f", "-c", "%T", "/sys/fs/cgroup"]).unwrap_or_default().trim().to_owned()
}

fn kernel_has_cgroup2() -> bool {
    fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("cgroup2"))
}

/// Removes the folders and cgroups of runs whose lock nobody holds any more.
fn remove_stale_runs() {
    let Ok(entries) = fs::read_dir(work()) else { return };
    for entry in entries.flatten() {
        let folder = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(run) = name.strip_prefix("run-") else { continue };
        let held = File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
        if !held {
            let _ = remove_cgroup(&cgroup(run));
            let _ = fs::remove_dir_all(folder);
        }
    }
}
