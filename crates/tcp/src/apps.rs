//! The apps that come with Brim, a file each.

mod echo;
mod exec;
mod forward;

pub(crate) use echo::Echo;
pub(crate) use exec::Exec;
pub(crate) use forward::Forward;
