use std::io::{self, Write};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;

use crate::accept_encoding::Coding;

/// Log of the window, 256 KiB: what an encoder holds is bounded, and larger ones win little for
/// what is made on the fly.
const WINDOW: u8 = 18;
/// Log of the largest block that brotli compresses in one go, 64 KiB.
const BLOCK: i32 = 16;
/// brotli's own buffer, in bytes.
const BUFFER: usize = 4096;

/// How hard to try, in each coding's own measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    pub(super) zstd: i32,
    pub(super) br: i32,
    pub(super) gzip: i32,
}

/// Something that compresses into a buffer of its own.
pub(super) enum Encoder {
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
}

impl Encoder {
    pub(super) fn new(coding: Coding, levels: &Levels) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), levels.zstd)?;
                encoder.window_log(WINDOW.into())?;
                Self::Zstd(Box::new(encoder))
            }
            Coding::Br => {
                let params = BrotliEncoderParams {
                    quality: levels.br,
                    lgwin: WINDOW.into(),
                    lgblock: BLOCK,
                    ..BrotliEncoderParams::default()
                };
                Self::Br(Box::new(brotli::CompressorWriter::with_params(
                    Vec::new(),
                    BUFFER,
                    &params,
                )))
            }
            Coding::Gzip => {
                let level = flate2::Compression::new(levels.gzip.unsigned_abs());
                Self::Gzip(Box::new(flate2::write::GzEncoder::new(Vec::new(), level)))
            }
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Zstd(encoder) => encoder,
            Self::Br(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer().write_all(bytes)
    }

    /// Brings all that was written so far into the output.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    /// What has come out since the last call.
    pub(super) fn take(&mut self) -> Bytes {
        let buffer = match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Br(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        };
        std::mem::take(buffer).into()
    }

    /// The end of the stream, and what has come out since the last call.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Zstd(encoder) => encoder.finish()?,
            Self::Br(encoder) => encoder.into_inner(),
            Self::Gzip(encoder) => encoder.finish()?,
        }
        .into())
    }
}
