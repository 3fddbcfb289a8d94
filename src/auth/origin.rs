//! Where a request comes from: its id, the client's address and, once that is shown, the caller.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Caller;
use super::hashing::{Asker, Purpose};
use crate::error::Error;
use crate::limits::{Allowance, network_of};
use crate::presence::Presence;

/// Made before anything else looks at the request. Clones share it.
#[derive(Clone, Debug)]
pub struct Origin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request_id: String,
    address: IpAddr,
    presence: Presence,
    caller: OnceLock<(Caller, Option<Allowance>)>,
}

impl Origin {
    pub fn new(request_id: String, address: IpAddr, presence: Presence) -> Self {
        Self(Arc::new(Inner { request_id, address, presence, caller: OnceLock::new() }))
    }

    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The client's address.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Whoever has a password hashed by this request.
    pub fn asker(&self, purpose: Purpose) -> Asker {
        Asker { network: network_of(self.0.address), purpose, presence: self.0.presence.clone() }
    }

    /// The caller, once a handler has asked for one and a token has shown it.
    pub fn caller(&self) -> Option<Caller> {
        self.0.caller.get().map(|(caller, _)| *caller)
    }

    /// What is left of the requests that the caller may make.
    pub fn allowance(&self) -> Option<Allowance> {
        self.0.caller.get().and_then(|(_, allowance)| *allowance)
    }

    pub(super) fn set_caller(&self, caller: Caller, allowance: Option<Allowance>) {
        let _ = self.0.caller.set((caller, allowance));
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let origin = parts.extensions.get::<Self>().cloned();
        origin.ok_or_else(|| Error::Internal("a request without an origin".to_owned()))
    }
}
