//! The state that all handlers share.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::api::docs::addressed::AddressedDocument;
use crate::api::docs::gauges::Gauges;
use crate::api::http::caller::Caller;
use crate::api::http::cors::Origins;
use crate::api::http::edge::Edge;
use crate::api::http::long_answers::LongAnswers;
use crate::api::http::views;
use crate::api::people::sign_up;
use crate::webhooks::sender::Sender;
use coffer_core::audit::AuditLog;
use coffer_core::auth::Auth;
use coffer_core::books::bank_event::BankEvent;
use coffer_core::books::calendar::Calendar;
use coffer_core::books::command;
use coffer_core::clock::Clock;
use coffer_core::committer::Committer;
use coffer_core::db::heads::Heads;
use coffer_core::db::mails::NewMail;
use coffer_core::db::{Db, Tx};
use coffer_core::disk::DiskReserve;
use coffer_core::limits::movements::MovementLimits;
use coffer_core::listening::{LISTENING_FOR, Listening};
use coffer_core::money::Currency;
use coffer_core::money::units::Unit;
use coffer_core::timestamp::Timestamp;
use coffer_core::watches::Watches;

/// The state that all handlers share. Clones share it, too.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub db: Db,
    pub committer: Committer,
    pub auth: Auth,
    /// The currency of an account that is opened without naming one.
    pub default_currency: Currency,
    /// The bank's own, which accounts may be opened in.
    pub units: Vec<Unit>,
    pub edge: Edge,
    /// Web pages of other origins that may call.
    pub origins: Origins,
    pub audit: AuditLog,
    pub views: views::Views,
    /// For Postman.
    pub collection: AddressedDocument,
    pub sign_up: sign_up::SignUp,
    /// Whether the bank sends mail.
    pub sends_mail: bool,
    /// Whether `/swagger-ui/` is served.
    pub swagger_ui: bool,
    /// Whether customers may book deposits to their own accounts, or only staff.
    pub self_service_deposits: bool,
    /// The most that one movement may be, in whole units of its currency.
    pub maximum_major_units: i64,
    /// The most that staff move alone within a day, in whole units of the currency; above it a second approver must
    /// agree. None for any amount.
    pub approval_above: Option<i64>,
    /// Says when days and months begin in the bank's time zone: limits count by them.
    pub calendar: Calendar,
    pub long_answers: LongAnswers,
    pub watches: Watches,
    pub listening: Listening,
    /// Sends messages to webhooks.
    pub webhook_sender: Sender,
    /// Whether events are written whether or not anybody listens.
    pub always_events: bool,
    pub clock: Arc<Clock>,
    /// Whether the log has a line for each request.
    pub access_log: bool,
    /// As they were half a second ago.
    pub heads: watch::Sender<Option<Heads>>,
    /// None when `/metrics` is switched off.
    pub metrics: Option<PrometheusHandle>,
    pub gauges: Gauges,
    /// Whether metrics are served on a listener of their own, and only there.
    pub has_admin_listener: bool,
    /// How many accounts one owner may open in 24 hours; 0 for any number.
    pub accounts_per_day: u32,
    pub movement_limits: MovementLimits,
    pub disk: DiskReserve,
}

impl App {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Has events written for a day from `now` on, by every instance within a second.
    pub async fn listen(&self, now: Timestamp) -> sqlx::Result<()> {
        let until = now.plus(LISTENING_FOR);
        let mut tx = self.db.begin().await?;
        tx.listen(until, now).await?;
        tx.commit().await?;
        self.listening.set_until(until);
        Ok(())
    }

    /// Appends events for those who listen, if anybody does. Call it last before the commit, behind the audit log.
    pub async fn append_events(&self, tx: &mut Tx<'_>, events: &[BankEvent]) -> sqlx::Result<()> {
        let now = Timestamp::now();
        if self.listening.is_wanted(now) {
            tx.append_events(events, now).await?;
        }
        Ok(())
    }

    /// Has mail sent once the transaction is committed, if the bank sends any.
    pub async fn send(&self, tx: &mut Tx<'_>, mail: NewMail) -> sqlx::Result<()> {
        if self.sends_mail { tx.put_mail(&mail, Timestamp::now()).await } else { Ok(()) }
    }

    /// The caller as the ledger's rules see one.
    pub fn requester(&self, caller: Caller) -> command::Requester {
        command::Requester {
            user_id: caller.user_id,
            acts_on_any_account: caller.role.acts_on_any_account(),
            deposits_to_own: self.self_service_deposits,
            approval_above: self.approval_above.filter(|_| caller.role.acts_on_any_account()),
            key: caller.key.map(|key| key.bounds),
        }
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<App> for Auth {
    fn from_ref(app: &App) -> Self {
        app.auth.clone()
    }
}
