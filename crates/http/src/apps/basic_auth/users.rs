use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Verifying takes twice the time with each step of this, about a second at 14: a user with more
/// would block the others.
const COSTLIEST: u32 = 16;
/// The cost where the file has no user to take it from: that of `htpasswd -B` and most libraries
/// lies between 5 and 12.
const COST: u32 = 10;
/// Lines that are complained about one by one.
const COMPLAINTS: usize = 20;

/// Why a file of users cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserFileError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("is not a file")]
    NotAFile,
    #[error("has {0} bytes, at most {LARGEST} are read")]
    TooLarge(u64),
    #[error("holds no user with a bcrypt hash; {}", .0.as_deref().unwrap_or("it is empty"))]
    NoUser(Option<String>),
}

/// What tells one state of a file from another: device, inode, size, and when it changed.
type Stamp = (u64, u64, u64, i64, i64);

/// A file of users and their passwords' hashes, and what it held when it was read.
#[derive(Debug, Default)]
pub(super) struct UserFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    users: Users,
    complaints: Vec<String>,
}

impl UserFile {
    /// Reads the file.
    pub(super) fn open(path: PathBuf) -> Result<Self, UserFileError> {
        let (stamp, text) = read(&path)?;
        let (users, complaints) = Users::parse(&text);
        match users.hashes.is_empty() && !complaints.is_empty() {
            true => Err(UserFileError::NoUser(complaints.into_iter().next())),
            false => Ok(Self { path, stamp: Some(stamp), users, complaints }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    /// What is wrong with single lines, as `LINE: what`.
    pub(super) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Whether the file is another one than that which was read last; from now on this one counts
    /// as read, even if it should turn out to be of no use.
    pub(super) fn changed(&mut self) -> bool {
        let stamp = std::fs::metadata(&self.path).ok().map(|metadata| stamp(&metadata));
        std::mem::replace(&mut self.stamp, stamp) != stamp
    }
}

fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec())
}

fn read(path: &Path) -> Result<(Stamp, Vec<u8>), UserFileError> {
    // Without waiting: it could be a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let file = File::from(fd);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(UserFileError::NotAFile);
    }
    if metadata.len() > LARGEST {
        return Err(UserFileError::TooLarge(metadata.len()));
    }
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok((stamp(&metadata), text))
}

/// The users and their hashes.
#[derive(Debug, Default)]
pub(super) struct Users {
    places: HashMap<Vec<u8>, usize>,
    hashes: Vec<String>,
}

impl Users {
    /// Reads lines of `name hash` or `name:hash`. Empty ones and those that begin with `#` say
    /// nothing.
    fn parse(text: &[u8]) -> (Self, Vec<String>) {
        let (mut users, mut complaints) = (Self::default(), Vec::new());
        let mut complain = |line: usize, what: String| {
            if complaints.len() < COMPLAINTS {
                complaints.push(format!("{}: {what}", line + 1));
            }
        };
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let end = line.iter().position(|byte| *byte == b':' || byte.is_ascii_whitespace());
            let (name, rest) = line.split_at(end.unwrap_or(line.len()));
            let hash = rest.get(1..).unwrap_or_default().trim_ascii();
            let shown = String::from_utf8_lossy(name).escape_debug().to_string();
            match hash_of(hash) {
                _ if name.is_empty() => complain(number, "there is no name".to_owned()),
                Err(why) => complain(number, format!("the hash of \"{shown}\" {why}")),
                Ok(_) if users.places.contains_key(name) => {
                    complain(
                        number,
                        format!("\"{shown}\" stands further up, too; that one counts"),
                    );
                }
                Ok(hash) => {
                    users.places.insert(name.to_owned(), users.hashes.len());
                    users.hashes.push(hash);
                }
            }
        }
        (users, complaints)
    }

    /// A user's hash. `None` where there is no such user.
    pub(super) fn hash(&self, name: &[u8]) -> Option<&str> {
        self.places.get(name).and_then(|place| self.hashes.get(*place)).map(String::as_str)
    }

    /// A hash to verify the password of an unknown user against, so that it takes the time that it
    /// takes for a known one: the hash of one of the users, always the same one for the same `pick`.
    pub(super) fn decoy(&self, pick: u64) -> String {
        let pick = usize::try_from(pick >> 1).unwrap_or_default();
        let hash = self.hashes.get(pick % self.hashes.len().max(1));
        hash.cloned().unwrap_or_else(|| format!("$2b${COST:02}${}", ".".repeat(53)))
    }
}

/// A bcrypt hash.
fn hash_of(text: &[u8]) -> Result<String, String> {
    let expected = "is none of bcrypt ($2y$..., as `htpasswd -B` makes it)";
    let text = std::str::from_utf8(text).map_err(|_| expected)?;
    if text.is_empty() {
        return Err("is missing".to_owned());
    }
    let parts: bcrypt::HashParts = text.parse().map_err(|_| expected)?;
    match parts.get_cost() {
        4..=COSTLIEST => Ok(text.to_owned()),
        cost => Err(format!("has the cost {cost}, from 4 to {COSTLIEST} are accepted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "secret", at the least cost.
    pub(super) const HASH: &str = "$2b$04$";

    fn hash() -> String {
        bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap().to_string()
    }

    #[test]
    fn both_forms_of_a_line_are_read() {
        let hash = hash();
        assert!(hash.starts_with(HASH));
        let text = format!("# comment\n\nal {hash}\r\nb\u{e4}:{hash}\n\tc \t {hash}  ");
        let (users, complaints) = Users::parse(text.as_bytes());
        assert!(complaints.is_empty(), "{complaints:?}");
        for name in ["al", "b\u{e4}", "c"] {
            assert_eq!(users.hash(name.as_bytes()), Some(hash.as_str()));
        }
        assert_eq!(users.hash(b"#"), None);
        assert_eq!(users.hash(b""), None);
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_count() {
        let hash = hash();
        let costly = hash.replace("$04$", "$17$");
        let text = format!(
            "al {hash}\nb\nc:\nd $apr1$x$y\ne:{}\nal {hash}\n{costly}\nf {costly}\n:{hash}\ng {hash}\n",
            &hash[..59]
        );
        let (users, complaints) = Users::parse(text.as_bytes());
        let lines: Vec<_> = complaints.iter().map(|text| text.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["2", "3", "4", "5", "6", "7", "8", "9"], "{complaints:?}");
        assert!(users.hash(b"al").is_some() && users.hash(b"g").is_some());
        assert_eq!(users.hashes.len(), 2);
    }

    #[test]
    fn complaints_are_bounded_and_garbage_is_no_panic() {
        let (users, complaints) = Users::parse("x\n".repeat(1000).as_bytes());
        assert_eq!((users.hashes.len(), complaints.len()), (0, COMPLAINTS));
        Users::parse(&(0..=255).cycle().take(10_000).collect::<Vec<_>>());
    }

    #[test]
    fn an_unknown_user_is_verified_against_a_hash_of_the_file_s_cost() {
        let text = format!("a {}\nb {}\n", hash(), hash().replace("$04$", "$05$"));
        let (users, _) = Users::parse(text.as_bytes());
        let costs: Vec<_> = (0..4).map(|pick| users.decoy(pick * 2)[4..6].to_owned()).collect();
        assert_eq!(costs, ["04", "05", "04", "05"]);
        let none = Users::default().decoy(1);
        assert!(!bcrypt::verify("x", &none).unwrap());
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        assert!(matches!(UserFile::open(path.clone()), Err(UserFileError::Unreadable(_))));
        assert!(matches!(UserFile::open(folder.path().into()), Err(UserFileError::NotAFile)));
        std::fs::write(&path, "nonsense\n").unwrap();
        let error = UserFile::open(path.clone()).unwrap_err().to_string();
        assert!(error.starts_with("holds no user with a bcrypt hash; 1: the hash of"), "{error}");
        let large = File::create(&path).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        assert!(matches!(UserFile::open(path.clone()), Err(UserFileError::TooLarge(_))));
        std::fs::write(&path, "").unwrap();
        let mut file = UserFile::open(path.clone()).unwrap();
        assert!(!file.changed());
        std::fs::write(&path, "al x\n").unwrap();
        assert!(file.changed() && !file.changed());
        std::fs::remove_file(&path).unwrap();
        assert!(file.changed() && !file.changed());
    }
}
