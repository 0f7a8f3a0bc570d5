//! The apps in the order of `apps =`, and what stands at the end of them.

use std::rc::Rc;

use http::StatusCode;

use crate::app::Request;
use crate::body::Response;
use crate::error::{Error, plain};
use crate::registry::BuiltApp;

/// A worker's apps.
pub(crate) struct Chain {
    apps: Vec<Box<dyn BuiltApp>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({} apps)", self.apps.len())
    }
}

impl Chain {
    pub(crate) fn new(apps: Vec<Box<dyn BuiltApp>>) -> Rc<Self> {
        Rc::new(Self { apps })
    }

    /// Gives a request to the first app.
    pub(crate) async fn enter(chain: &Rc<Self>, request: Request) -> Result<Response, Error> {
        Next { chain: chain.clone(), position: 0 }.call(request).await
    }
}

/// The rest of the chain, from one app's point of view.
#[derive(Debug)]
pub struct Next {
    chain: Rc<Chain>,
    position: usize,
}

impl Next {
    /// Passes a request on: to the next app, or to the end of the chain.
    pub async fn call(self, request: Request) -> Result<Response, Error> {
        let Self { chain, position } = self;
        match chain.apps.get(position) {
            Some(app) => {
                let next = Self { chain: chain.clone(), position: position + 1 };
                app.call(request, next).await
            }
            None => Ok(end()),
        }
    }
}

/// Nobody answered.
fn end() -> Response {
    plain(StatusCode::NOT_FOUND, "404 Not Found\n".to_owned())
}
