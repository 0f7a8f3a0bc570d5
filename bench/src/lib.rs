//! Figures beside the peers: see `src/bin/`.
#![forbid(unsafe_code)]
