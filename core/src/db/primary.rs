//! The server that takes writes, among those that `DATABASE_URL` names: found, followed when another one is promoted, and
//! never taken for one that was the primary before.
//!
//! All servers are asked at once. Of several that take writes, which happens when a primary was cut off and not stopped,
//! the one with the highest timeline was promoted last. A connection that is older than the present primary's term is not
//! used any more, and a server of an older timeline is refused, even when it alone answers.

use std::cmp::Reverse;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::refusals::{self, ConnectError};
use super::servers::{Candidate, GREETING_TIMEOUT, NotPrimary, Servers, not_primary, system, timeline};
use super::wait::Wait;
use super::{Answer, boxed_in_time, errors};

/// How long a bank that opens waits for a server that is starting up, as it is when compose starts both together, or for
/// a standby to be promoted.
const STARTUP_PATIENCE: Duration = Duration::from_secs(10);
/// How long the others are waited for once one server takes writes: one of them may have been promoted later.
const GRACE: Duration = Duration::from_millis(200);
/// How long a server may take to say how it is: as long as two greetings, of which the second is without TLS.
const ANSWER_WITHIN: Duration = Duration::from_secs(2 * GREETING_TIMEOUT.as_secs());
/// How often the servers are asked which of them is the primary.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long each may take to answer that.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// The time for which one server is the primary.
#[derive(Clone, Copy, Debug)]
struct Term {
    number: u64,
    /// The place of its server among the candidates.
    candidate: usize,
    timeline: u32,
    began: Instant,
}

/// The present term, for those who have a connection.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    present: Arc<watch::Sender<Term>>,
    must_write: bool,
    /// The cluster of the first primary, where it says so.
    system: Arc<OnceLock<String>>,
}

impl Terms {
    fn new(must_write: bool) -> Self {
        let none = Term { number: 0, candidate: 0, timeline: 0, began: Instant::now() };
        Self { present: Arc::new(watch::Sender::new(none)), must_write, system: Arc::default() }
    }

    /// Whether a connection of this age was made before the present term.
    pub fn are_older_than(&self, age: Duration) -> bool {
        self.present.borrow().began.elapsed() < age
    }

    /// Refuses a connection to a server that is not the primary. Returns its timeline.
    pub async fn examine(&self, conn: &mut PgConnection) -> sqlx::Result<u32> {
        if !self.must_write {
            return Ok(0);
        }
        let found = timeline(conn).await?;
        let known = self.present.borrow().timeline;
        if found < known { Err(NotPrimary::Former(found, known).into()) } else { Ok(found) }
    }

    /// Refuses a server whose books are others. Returns its cluster.
    async fn refuse_stranger(&self, conn: &mut PgConnection) -> sqlx::Result<Option<String>> {
        if !self.must_write {
            return Ok(None);
        }
        let found = system(conn).await;
        match (&found, self.system.get()) {
            (Some(found), Some(known)) if found != known => {
                Err(NotPrimary::Stranger(found.clone(), known.clone()).into())
            }
            _ => Ok(found),
        }
    }

    /// Begins another term if this is another primary, and says whether. None if one that was promoted later has been found
    /// meanwhile.
    fn take(&self, found: &Found) -> Option<(InTerm, bool)> {
        let mut number = None;
        let has_begun = self.present.send_if_modified(|term| {
            if found.timeline < term.timeline {
                return false;
            }
            let is_other = term.number == 0 || found.candidate != term.candidate || found.timeline != term.timeline;
            if is_other {
                let Found { candidate, timeline, .. } = *found;
                if let Some(system) = &found.system {
                    self.system.get_or_init(|| system.clone());
                }
                *term = Term { number: term.number + 1, candidate, timeline, began: Instant::now() };
            }
            number = Some(term.number);
            is_other
        });
        Some((InTerm { present: self.present.clone(), number: number? }, has_begun))
    }
}

/// The term that a connection was made in.
#[derive(Clone, Debug)]
pub struct InTerm {
    present: Arc<watch::Sender<Term>>,
    number: u64,
}

impl InTerm {
    pub fn is_over(&self) -> bool {
        self.present.borrow().number != self.number
    }

    /// The answer, or an error if it takes too long or the term ends before: a server that was cut off answers to nobody,
    /// and its successor knows what became of a COMMIT.
    pub fn in_time<'a, T>(
        &'a self,
        answer: impl Future<Output = sqlx::Result<T>> + Send + 'a,
    ) -> impl Future<Output = sqlx::Result<T>> {
        self.boxed_in_time(Box::pin(answer))
    }

    async fn boxed_in_time<T>(&self, answer: Answer<'_, T>) -> sqlx::Result<T> {
        let mut changes = self.present.subscribe();
        tokio::select! {
            biased;
            answer = boxed_in_time(answer) => answer,
            _ = changes.wait_for(|present| present.number != self.number) => Err(errors::no_answer()),
        }
    }
}

/// A server that takes writes.
struct Found {
    candidate: usize,
    timeline: u32,
    /// Its cluster, if it has been asked.
    system: Option<String>,
    connection: PgConnection,
}

/// Why each server was not taken, by its place among the candidates.
type Refused = Vec<(usize, sqlx::Error)>;

/// A connection for each candidate, kept from one question to the next.
type Kept = Vec<Option<PgConnection>>;

#[derive(Debug)]
pub(super) struct Primary {
    candidates: Vec<Arc<Candidate>>,
    terms: Terms,
    /// They connect to the primary.
    pools: OnceLock<Vec<PgPool>>,
}

impl Primary {
    /// Finds the primary, for a bank that opens. Returns the first connection to it, too.
    pub async fn find(servers: Servers) -> Result<(Arc<Self>, PgConnection), ConnectError> {
        let candidates = servers.named.into_iter().map(|named| Arc::new(Candidate::new(named))).collect();
        let this = Self { candidates, terms: Terms::new(servers.must_write), pools: OnceLock::new() };
        let mut wait = Wait::new("no database server is ready to take writes");
        loop {
            match this.ask_all(&mut this.none_kept(), ANSWER_WITHIN).await {
                Ok(found) => {
                    this.terms.take(&found);
                    return Ok((Arc::new(this), found.connection));
                }
                Err(refused)
                    if refused.iter().any(|(_, error)| may_pass(error)) && wait.is_within(STARTUP_PATIENCE) =>
                {
                    wait.pause().await;
                }
                Err(refused) => {
                    let reason = refusals::of_postgres(&this.none_of_them(refused));
                    return Err(ConnectError::Open { place: this.place(), reason });
                }
            }
        }
    }

    /// The pools follow the primary from here on, for as long as they are open.
    pub fn lead(self: &Arc<Self>, pools: Vec<PgPool>) {
        let is_to_be_followed = self.terms.must_write || self.candidates.len() > 1;
        if self.pools.set(pools).is_ok() && is_to_be_followed {
            tokio::spawn(follow(Arc::downgrade(self)));
        }
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The servers in a few words, without a password.
    pub fn place(&self) -> String {
        refusals::places(&self.candidates.iter().map(|candidate| candidate.place()).collect::<Vec<_>>())
    }

    /// How the driver reaches the primary.
    pub fn target(&self) -> PgConnectOptions {
        self.candidates[self.terms.present.borrow().candidate].reached()
    }

    /// A connection to the primary, and the term that it belongs to.
    pub async fn connect(&self) -> sqlx::Result<(PgConnection, InTerm)> {
        let mut changes = self.terms.present.subscribe();
        loop {
            let mut none = self.none_kept();
            let asked = tokio::select! {
                asked = self.ask_all(&mut none, ANSWER_WITHIN) => asked,
                // Somebody else has found it, while a server that is gone has kept us waiting.
                _ = changes.changed() => continue,
            };
            let found = asked.map_err(|refused| self.none_of_them(refused))?;
            if let Some(term) = self.take(&found) {
                return Ok((found.connection, term));
            }
        }
    }

    /// Asks every server at once, over the connections that are kept or new ones, and takes the one that was promoted
    /// last. Its connection is not among the kept ones then.
    async fn ask_all(&self, kept: &mut Kept, within: Duration) -> Result<Found, Refused> {
        let mut asked = JoinSet::new();
        for (place, (candidate, kept)) in self.candidates.iter().zip(&mut *kept).enumerate() {
            let (candidate, terms, mut connection) = (candidate.clone(), self.terms.clone(), kept.take());
            asked.spawn(async move {
                let answer = timeout(within, ask(&candidate, &terms, &mut connection)).await;
                (place, connection, answer.unwrap_or_else(|_| Err(errors::no_answer())))
            });
        }
        let (mut takers, mut refused, mut until) = (Vec::new(), Refused::new(), None);
        while let Some((candidate, connection, answer)) = next_within(&mut asked, until).await {
            match (answer, connection) {
                (Ok((timeline, system)), Some(connection)) => {
                    until.get_or_insert_with(|| Instant::now() + GRACE);
                    takers.push(Found { candidate, timeline, system, connection });
                }
                (Ok(_), None) => {}
                (Err(error), connection) => {
                    // A standby goes on being asked over its connection.
                    let is_of_bank = |reason: &NotPrimary| !matches!(reason, NotPrimary::Stranger(..));
                    kept[candidate] = connection.filter(|_| not_primary(&error).is_some_and(is_of_bank));
                    refused.push((candidate, error));
                }
            }
        }
        let present = self.terms.present.borrow().candidate;
        takers.sort_by_key(|found| (found.timeline, found.candidate == present, Reverse(found.candidate)));
        let last = takers.pop().ok_or(refused);
        takers.into_iter().for_each(|found| kept[found.candidate] = Some(found.connection));
        last
    }

    /// Leads everybody to this server. None if another one has been promoted since it was asked.
    fn take(&self, found: &Found) -> Option<InTerm> {
        let (term, has_begun) = self.terms.take(found)?;
        if has_begun {
            let candidate = &self.candidates[found.candidate];
            tracing::warn!(server = candidate.place(), timeline = found.timeline, "another server is the primary now");
            self.pools.get().into_iter().flatten().for_each(|pool| pool.set_connect_options(candidate.reached()));
        }
        Some(term)
    }

    fn none_kept(&self) -> Kept {
        self.candidates.iter().map(|_| None).collect()
    }

    /// In one error why none can be used.
    fn none_of_them(&self, mut refused: Refused) -> sqlx::Error {
        refused.sort_by_key(|(place, _)| *place);
        if self.candidates.len() == 1
            && let Some((_, error)) = refused.pop()
        {
            return error;
        }
        let reason = |(place, error): &(usize, sqlx::Error)| {
            format!("{}: {}", self.candidates[*place].place(), refusals::of_postgres(error))
        };
        NotPrimary::Nobody(refused.iter().map(reason).collect::<Vec<_>>().join("; ")).into()
    }

    fn is_over(&self) -> bool {
        self.pools.get().is_none_or(|pools| pools.iter().all(PgPool::is_closed))
    }
}

/// The timeline of a server that is the primary, and its cluster over a connection that is new.
async fn ask(
    candidate: &Candidate,
    terms: &Terms,
    connection: &mut Option<PgConnection>,
) -> sqlx::Result<(u32, Option<String>)> {
    let is_new = connection.is_none();
    match connection {
        Some(kept) if !terms.must_write => kept.ping().await?,
        Some(_) => {}
        None => *connection = Some(candidate.connect().await?),
    }
    let Some(connection) = connection else { return Err(errors::no_answer()) };
    // A standby, too: it may be promoted, and is asked over this connection then.
    let system = if is_new { terms.refuse_stranger(connection).await? } else { None };
    Ok((terms.examine(connection).await?, system))
}

async fn next_within<T: 'static>(asked: &mut JoinSet<T>, until: Option<Instant>) -> Option<T> {
    let next = match until {
        Some(until) => timeout_at(until, asked.join_next()).await.unwrap_or(None),
        None => asked.join_next().await,
    };
    next?.ok()
}

/// Whether a server that refuses so may take writes soon.
fn may_pass(error: &sqlx::Error) -> bool {
    is_starting_up(error) || not_primary(error).is_some_and(|reason| matches!(reason, NotPrimary::Standby))
}

/// SQLSTATE cannot_connect_now.
fn is_starting_up(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refusal| refusal.code().as_deref() == Some("57P03"))
}

/// Looks now and then which server is the primary. Whoever moves money looks for it, too, as soon as a connection fails;
/// this is for those who only read, and for a primary that was cut off, which would go on answering.
async fn follow(primary: Weak<Primary>) {
    let mut kept = Kept::new();
    loop {
        sleep(LOOK_EVERY).await;
        let Some(primary) = primary.upgrade().filter(|primary| !primary.is_over()) else { return };
        kept.resize_with(primary.candidates.len(), || None);
        if let Ok(found) = primary.ask_all(&mut kept, LOOK_WITHIN).await {
            primary.take(&found);
            kept[found.candidate] = Some(found.connection);
        }
    }
}
