//! Previews: what a movement would do, by the decision that would be made of it now.

use std::collections::BTreeSet;

use serde::Deserialize;
use utoipa::IntoParams;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::error::Result;
use crate::api::http::views::AccountLook;
use crate::api::money::accounts::readable_account;
use crate::api::people::proof;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::audit_event::Action;
use coffer_core::books::command::Command;
use coffer_core::books::decisions::Verdicts;
use coffer_core::money::Amount;

#[derive(Clone, Copy, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PreviewQuery {
    /// With `true` nothing happens, and the answer says what would have happened now: the balance after it, that it would
    /// wait for approval, or why it would be refused. An Idempotency-Key is then neither looked up nor used, and nobody is
    /// asked for a proof.
    preview: Option<bool>,
}

impl PreviewQuery {
    pub fn is_wanted(self) -> bool {
        self.preview == Some(true)
    }

    /// Has the commands carried out, or only asks for their verdicts. A preview has no keys: an earlier request that used
    /// one says nothing about now.
    pub async fn submit(self, app: &App, commands: Vec<Command>, atomic: bool) -> Result<Verdicts> {
        if !self.is_wanted() {
            return Ok(app.committer.submit_all(commands, atomic).await?);
        }
        let without_key = |command| Command { idempotency_key: None, ..command };
        Ok(app.committer.preview_all(commands.into_iter().map(without_key).collect(), atomic).await?)
    }

    /// What it shows of the accounts of others is a look at their balances.
    pub async fn put_on_record(
        self,
        app: &App,
        context: &RequestContext,
        caller: Caller,
        shown: impl IntoIterator<Item = AccountNumber>,
    ) -> Result<()> {
        if self.is_wanted() && caller.role.reads_any_account() {
            for number in shown.into_iter().collect::<BTreeSet<_>>() {
                readable_account(app, context, caller, number, AccountLook::new(Action::BalanceViewed)).await?;
            }
        }
        Ok(())
    }

    /// As [`proof::confirm_amounts`], for what is not a preview.
    pub async fn confirm_amounts(self, app: &App, caller: Caller, debits: &[(AccountNumber, Amount)]) -> Result<()> {
        match self.is_wanted() {
            true => Ok(()),
            false => proof::confirm_amounts(app, caller, debits).await,
        }
    }
}
