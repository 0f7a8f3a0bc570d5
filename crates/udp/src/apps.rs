//! The apps that come with Brim, a file each.

mod echo;
mod forward;

pub(crate) use echo::Echo;
pub(crate) use forward::Forward;
