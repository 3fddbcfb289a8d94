//! Reading what is left of people who were erased, for the doctor.

use uuid::Uuid;

use super::drain;
use crate::db::{Tx, in_snapshot};

/// Whether there is a row about user `u`, for the conditions below.
macro_rules! left {
    ($table_and_condition:literal) => {
        concat!(" or exists (select 1 from ", $table_and_condition, ")")
    };
}

impl Tx<'_> {
    /// Whether the texts of somebody who was erased are not all gone yet.
    pub async fn is_erasure_under_way(&mut self) -> sqlx::Result<bool> {
        in_snapshot!(self, conn => sqlx::query_scalar(
            "select exists (select 1 from users where erased_at is not null and texts_erased_at is null)",
        )
        .fetch_one(conn)
        .await)
    }

    /// The users of whom the audit log says that they were erased, as it names them.
    pub async fn visit_records_of_erasures(&mut self, mut visit: impl FnMut(String)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar("select subject from audit_log where action = 'user_erased' and subject is not null").fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Users who were erased.
    pub async fn visit_erased_users(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar("select id from users where erased_at is not null order by id").fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Those of whom something is left that should be gone. What may be spread over several machines is read by a subquery of its
    /// own, because it is not joined there with what is not.
    pub async fn visit_badly_erased_users(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(concat!(
                "with own as materialized (
                     select a.owner_id, a.account_number, a.status,
                            a.label is not null or a.alert_below is not null or a.notify_above is not null as has_settings
                     from users u join accounts a on a.owner_id = u.id
                     where u.texts_erased_at is not null
                 ),
                 h as materialized (
                     select own.owner_id from own join holds h on h.from_account = own.account_number
                     where h.description is not null
                 ),
                 m as materialized (
                     select own.owner_id from own join account_metadata m on m.account_number = own.account_number
                 ),
                 a as materialized (
                     select own.owner_id from own join approvals a on coalesce(a.from_account, a.to_account) = own.account_number
                     where a.description is not null
                 ),
                 e as materialized (
                     select own.owner_id, e.transaction_id, e.amount
                     from own join entries e on e.account_number = own.account_number
                 ),
                 t as materialized (
                     select e.owner_id, t.id, t.text_salt from e join transactions t on t.id = e.transaction_id
                     where e.amount < 0 or t.debit_sequence is null
                 ),
                 g as materialized (
                     select t.owner_id from t join tags g on g.id = t.id
                     where g.metadata is not null
                        or g.requested_by = t.owner_id and (g.reference is not null or g.group_id is not null)
                 )
                 select u.id from users u where u.erased_at is not null and (
                     u.status <> 'closed' or u.name <> 'erased' or u.email not like 'erased:%'",
                left!("sessions s where s.user_id = u.id and (s.address is not null or s.user_agent is not null)"),
                left!("second_factors f where f.user_id = u.id"),
                left!("recovery_codes c where c.user_id = u.id"),
                left!("password_links l where l.user_id = u.id"),
                left!("api_keys k where k.user_id = u.id and k.name <> 'erased'"),
                left!("user_notes n where n.user_id = u.id"),
                left!("payees p where p.user_id = u.id"),
                left!("own where own.owner_id = u.id and (own.status <> 'closed' or own.has_settings)"),
                left!("own join payees p on p.account_number = own.account_number where own.owner_id = u.id"),
                left!("m where m.owner_id = u.id"),
                left!("a where a.owner_id = u.id"),
                left!("h where h.owner_id = u.id"),
                left!("t where t.owner_id = u.id and t.text_salt is not null"),
                left!("g where g.owner_id = u.id"),
                ") order by u.id",
            ))
            .fetch(conn),
            &mut visit,
        )
        .await)
    }
}
