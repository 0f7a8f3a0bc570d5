use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

/// The largest file that is read, in bytes. Chains have a few thousand.
const LARGEST: u64 = 1 << 20;

/// The files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Tells one state of the files from the next; `None` for a file that is not there.
pub(crate) type Signature = [Option<(u64, u64, u64, i64, i64)>; 2];

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) key: Arc<CertifiedKey>,
    /// When it expires, in seconds since 1970.
    pub(crate) expires: i64,
}

/// Why a pair cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairError {
    #[error("{}: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{}: larger than 1 MiB", file.display())]
    TooLarge { file: PathBuf },
    #[error("{}: not PEM: {source}", file.display())]
    Pem { file: PathBuf, source: pem::Error },
    #[error("{}: holds no certificate (-----BEGIN CERTIFICATE-----)", file.display())]
    NoCertificate { file: PathBuf },
    #[error("{}: holds no private key without a passphrase (-----BEGIN PRIVATE KEY-----)", file.display())]
    NoKey { file: PathBuf },
    #[error("{}: not a certificate that can be read", file.display())]
    BadCertificate { file: PathBuf },
    #[error("{}: not a key of a kind that is known (RSA, ECDSA P-256 or P-384, Ed25519)", file.display())]
    BadKey { file: PathBuf },
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
}

impl Files {
    /// How the files are now.
    pub(crate) fn signature(&self) -> Signature {
        [&self.certificate, &self.key].map(|file| {
            let data = std::fs::metadata(file).ok()?;
            Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
        })
    }

    /// Reads both files and sees that they belong together.
    pub(crate) fn load(&self) -> Result<Pair, PairError> {
        let chain = chain(&self.certificate)?;
        let file = || self.certificate.clone();
        let leaf = chain.first().ok_or_else(|| PairError::NoCertificate { file: file() })?;
        let expires = expires(leaf).ok_or_else(|| PairError::BadCertificate { file: file() })?;
        let key = any_supported_type(&key(&self.key)?)
            .map_err(|_| PairError::BadKey { file: self.key.clone() })?;
        let pair = CertifiedKey::new(chain, key);
        match pair.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(PairError::Mismatch { certificate: file(), key: self.key.clone() });
            }
            Err(_) => return Err(PairError::BadCertificate { file: file() }),
        }
        Ok(Pair { key: Arc::new(pair), expires })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PairError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|source| PairError::Read { file: path.to_owned(), source })?;
    match bytes.len() as u64 > LARGEST {
        true => Err(PairError::TooLarge { file: path.to_owned() }),
        false => Ok(bytes),
    }
}

/// All certificates of a PEM file.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let bytes = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    chain.map_err(|source| PairError::Pem { file: path.to_owned(), source })
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, PairError> {
    let file = path.to_owned();
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| match source {
        pem::Error::NoItemsFound => PairError::NoKey { file },
        source => PairError::Pem { file, source },
    })
}

fn expires(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}
