//! Error pages of the administrator's own: a folder with a file per status, or per kind of status.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::StatusCode;
use rustix::fs::{Mode, OFlags};

/// Largest page, in bytes.
const LARGEST: u64 = 256 * 1024;
/// Pages that are read at most.
const MOST: usize = 500;
/// What the names of pages end in, and what that means.
const TYPES: [(&str, &str); 5] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("json", "application/json"),
    ("xml", "application/xml"),
];

/// Why a folder of error pages cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrorPagesError {
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
    #[error("{} has {size} bytes, at most {LARGEST} are read", path.display())]
    TooLarge { path: PathBuf, size: u64 },
    #[error("{} is not named as a page: 404.html, 50x.html, 4xx.html; or .htm, .txt, .json, .xml", .0.display())]
    Name(PathBuf),
    #[error("{} and {} are for the same errors", .0.display(), .1.display())]
    Twice(PathBuf, PathBuf),
    #[error("there are more than {MOST} pages")]
    TooMany,
}

/// A page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) body: Bytes,
    pub(crate) media_type: &'static str,
    path: PathBuf,
    /// The statuses that it is for.
    from: u16,
    to: u16,
}

/// The pages, read when the configuration is.
#[derive(Debug, Default)]
pub(crate) struct ErrorPages {
    /// Those for fewer statuses first.
    pages: Vec<Page>,
}

impl ErrorPages {
    /// Reads the folder. Files whose names do not begin with 4 or 5 are others' business.
    pub(crate) fn read(folder: &Path) -> Result<Self, ErrorPagesError> {
        let unreadable = |source| ErrorPagesError::Unreadable { path: folder.to_owned(), source };
        let mut pages: Vec<Page> = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with(['4', '5']) {
                continue;
            }
            let Some((from, to, media_type)) = meaning(name) else {
                return Err(ErrorPagesError::Name(path));
            };
            if pages.len() >= MOST {
                return Err(ErrorPagesError::TooMany);
            }
            if let Some(page) = pages.iter().find(|page| (page.from, page.to) == (from, to)) {
                return Err(ErrorPagesError::Twice(page.path.clone(), path));
            }
            let body = page(&path)?;
            pages.push(Page { body, media_type, path, from, to });
        }
        pages.sort_by_key(|page| page.to - page.from);
        Ok(Self { pages })
    }

    /// The page for a status.
    pub(crate) fn page(&self, status: StatusCode) -> Option<&Page> {
        let status = status.as_u16();
        self.pages.iter().find(|page| (page.from..=page.to).contains(&status))
    }
}

/// The statuses, and the type, of a page of this name: `404.html`, `40x.html`, `4xx.html`.
fn meaning(name: &str) -> Option<(u16, u16, &'static str)> {
    let (statuses, end) = name.split_once('.')?;
    let (_, media_type) = TYPES.iter().find(|(known, _)| *known == end)?;
    let digits = statuses.trim_end_matches('x');
    let span = match (statuses.len(), digits.len()) {
        (3, 3) => 1,
        (3, 2) => 10,
        (3, 1) => 100,
        _ => return None,
    };
    let from = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u16>());
    let from = from?.ok()? * span;
    Some((from, from + span - 1, media_type))
}

fn page(path: &Path) -> Result<Bytes, ErrorPagesError> {
    let unreadable =
        |source: io::Error| ErrorPagesError::Unreadable { path: path.to_owned(), source };
    // Without waiting: it could be a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(ErrorPagesError::NotAFile(path.to_owned()));
    }
    if metadata.len() > LARGEST {
        return Err(ErrorPagesError::TooLarge { path: path.to_owned(), size: metadata.len() });
    }
    let mut body = Vec::new();
    file.take(LARGEST).read_to_end(&mut body).map_err(unreadable)?;
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_statuses_and_which_type() {
        for (name, expected) in [
            ("404.html", Some((404, 404, "text/html; charset=utf-8"))),
            ("50x.txt", Some((500, 509, "text/plain; charset=utf-8"))),
            ("4xx.json", Some((400, 499, "application/json"))),
            ("404", None),
            ("404.png", None),
            ("404.html~", None),
            ("4x4.html", None),
            ("4.html", None),
            ("4044.html", None),
            ("4\u{e4}.html", None),
        ] {
            assert_eq!(meaning(name), expected, "{name}");
        }
    }

    #[test]
    fn the_page_for_fewer_statuses_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("404.html", "a"), ("40x.html", "b"), ("4xx.txt", "c"), ("style.css", "d")]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let pages = ErrorPages::read(folder.path()).unwrap();
        let page =
            |status| pages.page(StatusCode::from_u16(status).unwrap()).map(|page| &*page.body);
        assert_eq!(page(404), Some(&b"a"[..]));
        assert_eq!(page(403), Some(&b"b"[..]));
        assert_eq!(page(431), Some(&b"c"[..]));
        assert_eq!(page(500), None);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let refused = || ErrorPages::read(folder.path()).unwrap_err().to_string();
        assert!(
            ErrorPages::read(&path("none")).unwrap_err().to_string().contains("cannot be read")
        );
        std::fs::create_dir(path("404.html")).unwrap();
        assert!(refused().ends_with("404.html is not a file"));
        std::fs::remove_dir(path("404.html")).unwrap();
        File::create(path("500.html")).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(refused().ends_with("500.html has 262145 bytes, at most 262144 are read"));
        std::fs::write(path("500.html"), "").unwrap();
        std::fs::write(path("500.txt"), "").unwrap();
        assert!(refused().ends_with("are for the same errors"));
        std::fs::remove_file(path("500.txt")).unwrap();
        std::fs::write(path("500.png"), "").unwrap();
        assert!(refused().contains("500.png is not named as a page"));
    }
}
