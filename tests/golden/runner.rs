//! What the golden tests have in common: finds the trees, copies each to a temporary directory, does what its
//! `setup` says, and compares texts and directories with `expected`. See `README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// A tree in a temporary directory.
pub(crate) struct Golden {
    /// Where its `expected` is.
    home: PathBuf,
    root: tempfile::TempDir,
}

/// Runs `test` on every tree.
pub(crate) fn run(test: fn(&Golden) -> Result<(), Failed>) -> ExitCode {
    let arguments = Arguments::from_args();
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let mut homes: Vec<PathBuf> = fs::read_dir(trees)
        .expect("tests/golden is there")
        .map(|entry| entry.expect("tests/golden can be listed").path())
        .filter(|path| path.is_dir())
        .collect();
    homes.sort();
    assert!(!homes.is_empty(), "there are no golden trees");
    let trials = homes.into_iter().map(|home| {
        let name = home.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let skipped = !runs_here(&home);
        Trial::test(name, move || test(&Golden::set_up(home)?)).with_ignored_flag(skipped)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn setup_lines(home: &Path) -> Vec<String> {
    let text = fs::read_to_string(home.join("setup")).unwrap_or_default();
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Whether the user who runs the tests can set the tree up.
fn runs_here(home: &Path) -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    setup_lines(home).iter().all(|line| match line.split(' ').next() {
        Some("not-root") => !root,
        Some("chown") => root,
        _ => true,
    })
}

impl Golden {
    /// The root below which the configuration is.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Whether the tree says anything about this.
    pub(crate) fn expects(&self, name: &str) -> bool {
        self.home.join("expected").join(name).exists()
    }

    /// Compares a text with the file `expected/NAME`.
    pub(crate) fn compare_text(&self, name: &str, found: &str) -> Result<(), Failed> {
        let file = self.home.join("expected").join(name);
        if blessing() {
            fs::create_dir_all(self.home.join("expected"))?;
            fs::write(&file, found)?;
        }
        let expected =
            fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        if expected == found {
            return Ok(());
        }
        Err(format!("{name}\n--- expected\n{expected}\n--- found\n{found}").into())
    }

    /// Compares a directory, with its links, with `expected/NAME`.
    pub(crate) fn compare_directory(&self, name: &str, found: &Path) -> Result<(), Failed> {
        let directory = self.home.join("expected").join(name);
        let found = content(found)?;
        if blessing() {
            bless_directory(&directory, &found)?;
        }
        let expected = content(&directory)?;
        if expected == found {
            return Ok(());
        }
        Err(format!("{name}\n--- expected\n{}\n--- found\n{}", listed(&expected), listed(&found))
            .into())
    }

    fn set_up(home: PathBuf) -> Result<Self, Failed> {
        for entry in fs::read_dir(home.join("expected")).into_iter().flatten() {
            let name = entry?.file_name();
            if !["apps", "config", "problems", "units"].iter().any(|known| name == *known) {
                return Err(format!("nothing compares expected/{}", name.display()).into());
            }
        }
        if !home.join("about").is_file() {
            return Err("there is no file `about`".into());
        }
        let root = tempfile::tempdir()?;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(&home)? {
            let entry = entry?;
            if !["about", "expected", "setup"].iter().any(|apart| entry.file_name() == *apart) {
                copy(&entry.path(), &root.path().join(entry.file_name()))?;
            }
        }
        for line in setup_lines(&home) {
            prepare(root.path(), &line).map_err(|error| {
                format!("setup: {line}: {}", error.message().unwrap_or_default())
            })?;
        }
        Ok(Self { home, root })
    }
}

fn blessing() -> bool {
    std::env::var_os("BRIM_BLESS").is_some()
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if metadata.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return fs::set_permissions(to, fs::Permissions::from_mode(0o755));
    }
    fs::copy(from, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o644))
}

fn prepare(root: &Path, line: &str) -> Result<(), Failed> {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["chmod", mode, path] => {
            let mode = u32::from_str_radix(mode, 8)?;
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode))?;
        }
        ["chown", uid, path] => chown(root.join(path), Some(uid.parse()?), None)?,
        ["garbage", size, path] => {
            // xorshift64*: the same bytes in every run.
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            let mut byte = || {
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
            };
            let bytes: Vec<u8> = (0..bytes(size)?).map(|_| byte()).collect();
            fs::write(root.join(path), bytes)?;
        }
        ["fill", size, path, text @ ..] => {
            let text = text.join(" ").replace("\\n", "\n");
            let bytes: Vec<u8> = text.bytes().cycle().take(bytes(size)?).collect();
            fs::write(root.join(path), bytes)?;
        }
        ["mkfifo", path] => {
            let done = Command::new("mkfifo").arg(root.join(path)).status()?;
            if !done.success() {
                return Err("mkfifo failed".into());
            }
        }
        ["not-root"] => {}
        _ => return Err("not a line that README.md describes".into()),
    }
    Ok(())
}

fn bytes(size: &str) -> Result<usize, Failed> {
    let factor = if size.ends_with('K') {
        1 << 10
    } else if size.ends_with('M') {
        1 << 20
    } else {
        1
    };
    Ok(size.trim_end_matches(['K', 'M']).parse::<usize>()? * factor)
}

/// Every file and link below a directory; a directory that does not exist is empty.
fn content(directory: &Path) -> std::io::Result<BTreeMap<PathBuf, String>> {
    let mut all = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(next) = todo.pop() {
        if !next.exists() {
            continue;
        }
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            let name = path.strip_prefix(directory).map_err(std::io::Error::other)?.to_owned();
            let metadata = fs::symlink_metadata(&path)?;
            if metadata.is_symlink() {
                all.insert(name, format!("{LINK}{}", fs::read_link(&path)?.display()));
            } else if metadata.is_dir() {
                todo.push(path);
            } else {
                all.insert(name, fs::read_to_string(&path)?);
            }
        }
    }
    Ok(all)
}

const LINK: &str = "-> ";

fn listed(content: &BTreeMap<PathBuf, String>) -> String {
    content
        .iter()
        .map(|(path, text)| format!("{}\n    {}\n", path.display(), text.replace('\n', "\n    ")))
        .collect()
}

fn bless_directory(directory: &Path, content: &BTreeMap<PathBuf, String>) -> std::io::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    for (name, text) in content {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match text.strip_prefix(LINK) {
            Some(target) => symlink(target, path)?,
            None => fs::write(path, text)?,
        }
    }
    Ok(())
}
