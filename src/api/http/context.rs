//! Where a request comes from: its ids, the client's address and, once that is shown, the caller.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::api::http::caller::Caller;
use crate::api::http::error::Error;
use coffer_core::account_number::AccountNumber;
use coffer_core::auth::hashing::{Asker, Purpose};
use coffer_core::books::audit_event::{Action, Concern, Event};
use coffer_core::limits::{Allowance, network_of};
use coffer_core::presence::Presence;
use coffer_core::request_ids::RequestIds;
use coffer_core::timestamp::Timestamp;

/// Made before anything else looks at the request. Clones share it.
#[derive(Clone, Debug)]
pub struct RequestContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ids: RequestIds,
    address: IpAddr,
    presence: Presence,
    caller: OnceLock<(Caller, Option<Allowance>)>,
    is_on_record: AtomicBool,
    requested: Mutex<Requested>,
}

/// What staff have asked for on accounts that may be other people's.
#[derive(Debug, Default)]
struct Requested {
    accounts: BTreeSet<AccountNumber>,
    /// Some of it was refused, although the answer as a whole is no refusal.
    is_partly_refused: bool,
}

impl RequestContext {
    pub fn new(ids: RequestIds, address: IpAddr, presence: Presence) -> Self {
        let (caller, is_on_record, requested) = Default::default();
        Self(Arc::new(Inner { ids, address, presence, caller, is_on_record, requested }))
    }

    pub fn ids(&self) -> &RequestIds {
        &self.0.ids
    }

    pub fn request_id(&self) -> &str {
        self.0.ids.own()
    }

    /// The client's address.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    pub fn presence(&self) -> &Presence {
        &self.0.presence
    }

    /// For the queue of password hashes: who asks for one by this request.
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

    pub fn set_caller(&self, caller: Caller, allowance: Option<Allowance>) {
        let _ = self.0.caller.set((caller, allowance));
    }

    /// An event of this request, done by its caller, if it has shown who that is.
    pub fn event(&self, action: Action) -> Event {
        self.set_on_record();
        let event = Event {
            actor_id: self.caller().map(|caller| caller.user_id),
            address: Some(self.address().to_string()),
            request_id: Some(self.request_id().to_owned()),
            client_request_id: self.ids().client().map(str::to_owned),
            ..Event::at(action, Timestamp::now())
        };
        let key = self.caller().and_then(|caller| caller.key);
        key.map(|key| Concern::ApiKey(key.bounds.key_id)).into_iter().fold(event, Event::about)
    }

    /// Whether an event of this request was made for the audit log, or it was found that none is needed.
    pub fn is_on_record(&self) -> bool {
        self.0.is_on_record.load(Ordering::Relaxed)
    }

    pub fn set_on_record(&self) {
        self.0.is_on_record.store(true, Ordering::Relaxed);
    }

    /// Remembers which accounts the request is to move money on, if the caller may do so on other people's.
    pub fn note_accounts(&self, accounts: impl IntoIterator<Item = AccountNumber>) {
        if self.caller().is_some_and(|caller| caller.role.acts_on_any_account()) {
            self.requested().accounts.extend(accounts);
        }
    }

    pub fn noted_accounts(&self) -> BTreeSet<AccountNumber> {
        self.requested().accounts.clone()
    }

    pub fn set_partly_refused(&self) {
        self.requested().is_partly_refused = true;
    }

    pub fn is_partly_refused(&self) -> bool {
        self.requested().is_partly_refused
    }

    fn requested(&self) -> MutexGuard<'_, Requested> {
        self.0.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let context = parts.extensions.get::<Self>().cloned();
        context.ok_or_else(|| Error::Internal("a request without a context".to_owned()))
    }
}
