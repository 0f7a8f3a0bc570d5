//! What all servers serve: the same files, with the same certificate.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;

/// The name in the certificate.
pub const NAME: &str = "localhost";
/// A file of 1 KiB.
pub const SMALL: &str = "/1k.bin";
/// A file of 1 MiB.
pub const LARGE: &str = "/1m.bin";

/// A folder of its own for one run, gone at the end.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    /// The certificate, for clients to trust.
    pub certificate: CertificateDer<'static>,
}

impl Site {
    /// Makes the files.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("brim-bench-").tempdir()?;
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec![NAME.to_owned()]).map_err(io::Error::other)?;
        let site = Self { folder, certificate: cert.der().clone() };
        // Some of the servers leave root's rights behind.
        readable(site.folder.path())?;
        std::fs::create_dir(site.files())?;
        std::fs::write(site.files().join(&SMALL[1..]), [b'x'; 1024])?;
        std::fs::write(site.files().join(&LARGE[1..]), vec![b'x'; 1024 * 1024])?;
        std::fs::write(site.certfile(), cert.pem())?;
        std::fs::write(site.keyfile(), signing_key.serialize_pem())?;
        Ok(site)
    }

    /// Where the files are.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// The certificate as PEM.
    pub fn certfile(&self) -> PathBuf {
        self.folder.path().join("site.crt")
    }

    /// Its key.
    pub fn keyfile(&self) -> PathBuf {
        self.folder.path().join("site.key")
    }

    /// A fresh folder for a server: its configuration and its logs.
    pub fn folder_for(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.folder.path().join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir(&folder)?;
        readable(&folder)?;
        Ok(folder)
    }
}

/// Everybody may look in.
fn readable(folder: &Path) -> io::Result<()> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}
