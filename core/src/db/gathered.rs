//! Look-ups on PostgreSQL, many to a round trip.
//!
//! A look-up by key costs the server little and the way there and back a lot. So those that arrive while another is
//! under way are asked for together: the same idea as the committer's, for reading. Each sees what was committed before
//! it was asked for.

use std::collections::HashMap;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::sync::{mpsc, oneshot};

use super::server_sessions::Sessions;
use super::{account_columns, in_time};
use crate::account_number::AccountNumber;
use crate::books::account::Account;

/// Look-ups in one query.
const MAX_BATCH: usize = 256;
/// Queries in flight: while one is answered, the next is asked.
const IN_FLIGHT: usize = 2;

const SELECT: &str =
    concat!("select ", account_columns!(), " from accounts where account_number = any($1) and owner_id is not null");

/// Where look-ups wait. Clones feed the same queries, which end with the last of them.
#[derive(Clone, Debug)]
pub struct AccountLookUps(Vec<mpsc::UnboundedSender<LookUp>>);

struct LookUp {
    number: AccountNumber,
    answer: oneshot::Sender<Option<Account>>,
}

impl AccountLookUps {
    pub(super) fn start(read_pool: &PgPool, sessions: Sessions) -> Self {
        let start = |_| {
            let (sender, waiting) = mpsc::unbounded_channel();
            tokio::spawn(answer(read_pool.clone(), sessions, waiting));
            sender
        };
        Self((0..IN_FLIGHT).map(start).collect())
    }

    /// The customer's account with this number. When the query that it was part of fails, it asks alone.
    pub async fn account(&self, read_pool: &PgPool, number: AccountNumber) -> sqlx::Result<Option<Account>> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0[number.as_i64() as usize / 100 % IN_FLIGHT].send(LookUp { number, answer });
        in_time(async {
            match answered.await {
                Ok(account) => Ok(account),
                Err(_) => sqlx::query_as(SELECT).bind(vec![number.as_i64()]).fetch_optional(read_pool).await,
            }
        })
        .await
    }
}

async fn answer(read_pool: PgPool, sessions: Sessions, mut waiting: mpsc::UnboundedReceiver<LookUp>) {
    let mut batch = Vec::new();
    // The connection is reused while one query follows another: taking a connection and giving it back costs as much as
    // a look-up. Not one that a pooler's session is kept for.
    let mut reused: Option<PoolConnection<Postgres>> = None;
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        // Look-ups that nobody waits for any more are not made.
        batch.retain(|look_up: &LookUp| !look_up.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        let numbers: Vec<i64> = batch.iter().map(|look_up| look_up.number.as_i64()).collect();
        let found: sqlx::Result<Vec<Account>> = in_time(async {
            let connection = match &mut reused {
                Some(connection) => connection,
                None => reused.insert(read_pool.acquire().await?),
            };
            sqlx::query_as(SELECT).bind(numbers).fetch_all(&mut **connection).await
        })
        .await;
        if waiting.is_empty() || found.is_err() || sessions == Sessions::Shared {
            reused = None;
        }
        let Ok(found) = found else {
            // Dropping the look-ups tells those who wait that there is no answer.
            batch.clear();
            continue;
        };
        let accounts: HashMap<AccountNumber, Account> =
            found.into_iter().map(|account| (account.account_number, account)).collect();
        for LookUp { number, answer } in batch.drain(..) {
            let _ = answer.send(accounts.get(&number).cloned());
        }
    }
}
