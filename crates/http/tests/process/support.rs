//! A daemon under test, and the client that talks to it.

mod certificates;
mod client;
mod daemon;
mod frames;
mod gateway;
mod home;
mod upstream;

pub(crate) use brim_testing::{PATIENCE, eventually};
pub(crate) use certificates::{Authority, curl_tls, curl_tls_command, serve_tls, tls_client};
pub(crate) use client::{Client, Response, curl, get, post};
pub(crate) use daemon::Daemon;
pub(crate) use frames::{Frames, kind, literal};
pub(crate) use gateway::{Gateway, Heard, Link, frame};
pub(crate) use home::{BRIM_HTTP, Home, example, finished, serve, serve_trial, trial_finished};
pub(crate) use upstream::{Upstream, nobody};
