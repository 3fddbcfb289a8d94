//! The queue for password hashes. A hash takes some ten milliseconds of a core and 19 MiB, and only as many run at once
//! as there are cores; the others wait here.
//!
//! Networks take turns, so that a flood from one of them costs the others one hash each round. Each kind of hash has a
//! guaranteed share, and what it does not use goes to the next kind: those from networks that somebody has signed in
//! from before come first, then those from strangers, then new customers. A hash that nobody waits for any more is not
//! begun, and a client that has ended its side comes behind all that are still there: it may be waiting for its answer,
//! or have gone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::presence::{Client, Presence};

/// How long anybody waits before they are told to come back.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The most that wait of one kind from one network: a classroom that signs in at once, about a second's work on two
/// cores.
const MAX_OF_A_NETWORK: usize = 64;
/// The most that wait of one kind: more than can be hashed before those at the end have waited for too long.
const MAX_OF_A_KIND: usize = 512;
/// A network takes at most this part of the places that are free: however many greedy ones there are, some are left.
const SHARE_OF_WHAT_IS_FREE: usize = 4;
/// Networks that are known to have customers. When there are more, the next ones are strangers.
const MAX_FAMILIAR: usize = 65_536;

/// The purpose of a hash: this decides how soon it is begun.
#[derive(Clone, Debug)]
pub struct Asker {
    pub network: IpAddr,
    pub purpose: Purpose,
    pub presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To find out whether somebody is who they say, at sign-in or in a session, and to hash their new password.
    Proof,
    /// To become a customer.
    SignUp,
}

/// Kinds of hashes, by priority: a core whose share nobody waits for goes to the first kind that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Familiar,
    Strange,
    SignUp,
}

/// Which kind has the share that each hash is, round and round.
const SHARES: [Kind; 8] = [
    Kind::Familiar,
    Kind::Familiar,
    Kind::Strange,
    Kind::Familiar,
    Kind::Familiar,
    Kind::Strange,
    Kind::Familiar,
    Kind::SignUp,
];

/// Why nothing was hashed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HashError {
    /// Too many wait already, or this one has waited for too long.
    #[error("too many passwords wait to be hashed")]
    Busy,
    #[error("a password could not be hashed: {0}")]
    Failed(String),
}

/// Clones share the queue.
#[derive(Clone)]
pub struct HashQueue(Arc<Shared>);

struct Shared {
    cores: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    /// The hashes among `running` that are for new customers.
    sign_ups: usize,
    /// How many have begun: it tells which kind has the next share.
    begun: usize,
    kinds: [Turns; 3],
    /// Clients that had ended their side when their turn came.
    ended: VecDeque<Waiting>,
    familiar: HashSet<IpAddr>,
}

struct Waiting {
    network: IpAddr,
    purpose: Purpose,
    presence: Presence,
    /// Closed when nobody waits any more.
    begin: oneshot::Sender<Core>,
}

/// The right to keep a core busy, until it is dropped.
pub struct Core {
    queue: HashQueue,
    purpose: Purpose,
}

impl Drop for Core {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.running -= 1;
        state.sign_ups -= usize::from(self.purpose == Purpose::SignUp);
        drop(state);
        self.queue.begin_what_can_be();
    }
}

impl HashQueue {
    pub fn new(cores: usize) -> Self {
        Self(Arc::new(Shared { cores, state: Mutex::default() }))
    }

    /// Waits for a core. Keep what is returned while hashing.
    pub async fn wait(&self, asker: &Asker) -> Result<Core, HashError> {
        let (begin, begun) = oneshot::channel();
        let Asker { network, purpose, presence } = asker.clone();
        self.lock().join(Waiting { network, purpose, presence, begin })?;
        self.begin_what_can_be();
        match tokio::time::timeout(MAX_WAIT, begun).await {
            Ok(Ok(core)) => Ok(core),
            // It took too long, or was left out because its client has gone.
            _ => Err(HashError::Busy),
        }
    }

    /// A customer has signed in from this network.
    pub fn note_customer_at(&self, network: IpAddr) {
        let mut state = self.lock();
        if state.familiar.len() < MAX_FAMILIAR {
            state.familiar.insert(network);
        }
    }

    fn begin_what_can_be(&self) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.running >= self.0.cores {
                    return;
                }
                let Some(next) = state.next(self.0.cores) else { return };
                state.running += 1;
                state.sign_ups += usize::from(next.purpose == Purpose::SignUp);
                next
            };
            // A request that has just stopped waiting drops the core at once.
            let _ = next.begin.send(Core { queue: self.clone(), purpose: next.purpose });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn join(&mut self, waiting: Waiting) -> Result<(), HashError> {
        let kind = match waiting.purpose {
            Purpose::SignUp => Kind::SignUp,
            Purpose::Proof if self.familiar.contains(&waiting.network) => Kind::Familiar,
            Purpose::Proof => Kind::Strange,
        };
        if self.kinds[kind as usize].join(waiting) { Ok(()) } else { Err(HashError::Busy) }
    }

    /// The next one whose client is there. Without any, the first of those that have ended their side.
    fn next(&mut self, cores: usize) -> Option<Waiting> {
        // New customers never have all cores: a sign-in finds one soon, and what each of them writes is written slowly.
        let may_sign_up = self.sign_ups < (cores / 2).max(1);
        let share = SHARES[self.begun % SHARES.len()];
        for kind in [share, Kind::Familiar, Kind::Strange, Kind::SignUp] {
            if kind == Kind::SignUp && !may_sign_up {
                continue;
            }
            while let Some(next) = self.kinds[kind as usize].next() {
                match next.presence.look() {
                    Client::Here => {
                        self.begun += 1;
                        return Some(next);
                    }
                    Client::EndedItsSide => self.put_behind(next),
                    Client::Gone => {}
                }
            }
        }
        self.ended.retain(|waiting| !waiting.begin.is_closed() && waiting.presence.look() != Client::Gone);
        let first = self.ended.iter().position(|waiting| may_sign_up || waiting.purpose != Purpose::SignUp)?;
        self.ended.remove(first)
    }

    /// When there are too many, the oldest is refused: it has waited longest.
    fn put_behind(&mut self, waiting: Waiting) {
        self.ended.retain(|waiting| !waiting.begin.is_closed());
        if self.ended.len() >= MAX_OF_A_NETWORK {
            self.ended.pop_front();
        }
        self.ended.push_back(waiting);
    }
}

/// The waiting requests of one kind, network by network.
#[derive(Default)]
struct Turns {
    waiting: HashMap<IpAddr, VecDeque<Waiting>>,
    /// The networks with somebody waiting, in the order of their turns.
    order: VecDeque<IpAddr>,
    count: usize,
}

impl Turns {
    /// False when there is no room.
    fn join(&mut self, waiting: Waiting) -> bool {
        if self.count >= MAX_OF_A_KIND {
            self.drop_who_left();
        }
        let of_network = self.waiting.entry(waiting.network).or_default();
        let room = |count: usize| MAX_OF_A_NETWORK.min(MAX_OF_A_KIND.saturating_sub(count) / SHARE_OF_WHAT_IS_FREE);
        if of_network.len() >= room(self.count) {
            // Make room, if those before may have gone.
            let before = of_network.len();
            of_network.retain(|waiting| !waiting.begin.is_closed() && waiting.presence.look() == Client::Here);
            self.count -= before - of_network.len();
        }
        if of_network.len() >= room(self.count) {
            if of_network.is_empty() {
                self.waiting.remove(&waiting.network);
            }
            return false;
        }
        if of_network.is_empty() && !self.order.contains(&waiting.network) {
            self.order.push_back(waiting.network);
        }
        of_network.push_back(waiting);
        self.count += 1;
        true
    }

    fn next(&mut self) -> Option<Waiting> {
        while let Some(network) = self.order.pop_front() {
            let Some(of_network) = self.waiting.get_mut(&network) else { continue };
            let next = loop {
                let Some(next) = of_network.pop_front() else { break None };
                self.count -= 1;
                if !next.begin.is_closed() {
                    break Some(next);
                }
            };
            if of_network.is_empty() {
                self.waiting.remove(&network);
            } else {
                self.order.push_back(network);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    fn drop_who_left(&mut self) {
        for of_network in self.waiting.values_mut() {
            of_network.retain(|waiting| !waiting.begin.is_closed() && waiting.presence.look() != Client::Gone);
        }
        self.waiting.retain(|_, of_network| !of_network.is_empty());
        self.order.retain(|network| self.waiting.contains_key(network));
        self.count = self.waiting.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A queue without cores, and the callers' ends: none of them is left while the test runs.
    #[derive(Default)]
    struct Scene {
        state: State,
        callers: Vec<oneshot::Receiver<Core>>,
    }

    fn network(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    impl Scene {
        fn join(&mut self, from: u8, purpose: Purpose) -> bool {
            let (begin, begun) = oneshot::channel();
            self.callers.push(begun);
            let waiting = Waiting { network: network(from), purpose, presence: Presence::default(), begin };
            self.state.join(waiting).is_ok()
        }

        fn join_all(&mut self, from: u8, purpose: Purpose) -> usize {
            (0..10 * MAX_OF_A_KIND).filter(|_| self.join(from, purpose)).count()
        }

        fn next(&mut self) -> Option<IpAddr> {
            self.state.next(2).map(|next| next.network)
        }
    }

    #[test]
    fn networks_take_turns_however_many_hashes_one_of_them_wants() {
        let mut scene = Scene::default();
        assert_eq!(scene.join_all(1, Purpose::Proof), MAX_OF_A_NETWORK);
        assert!(scene.join(2, Purpose::Proof) && scene.join(3, Purpose::Proof));
        let order: Vec<_> = (0..4).map(|_| scene.next()).collect();
        assert_eq!(order, [1, 2, 3, 1].map(|number| Some(network(number))));
    }

    #[test]
    fn sign_ins_come_before_sign_ups_which_have_a_share() {
        let mut scene = Scene::default();
        assert_eq!(scene.join_all(1, Purpose::SignUp), MAX_OF_A_NETWORK);
        for from in 10..30 {
            assert!(scene.join(from, Purpose::Proof));
        }
        let sign_ups = (0..SHARES.len()).filter(|_| scene.next() == Some(network(1))).count();
        assert_eq!(sign_ups, 1);
    }

    #[test]
    fn sign_ups_never_have_all_cores() {
        let mut scene = Scene::default();
        scene.join_all(1, Purpose::SignUp);
        scene.state.sign_ups = 1;
        assert_eq!(scene.next(), None);
        assert!(scene.join(2, Purpose::Proof));
        assert_eq!(scene.next(), Some(network(2)));
        scene.state.sign_ups = 0;
        assert_eq!(scene.next(), Some(network(1)));
    }

    #[test]
    fn strangers_in_any_number_leave_a_share_to_who_is_known() {
        let mut scene = Scene::default();
        scene.state.familiar.insert(network(250));
        for from in 1..240 {
            scene.join_all(from, Purpose::Proof);
        }
        assert!(scene.join(250, Purpose::Proof));
        assert!((0..3).any(|_| scene.next() == Some(network(250))));
    }

    #[test]
    fn who_waits_no_longer_is_left_out_and_makes_room() {
        let mut scene = Scene::default();
        scene.join_all(1, Purpose::Proof);
        scene.callers.clear();
        assert!(scene.join(1, Purpose::Proof), "those who have left take no room");
        assert!(scene.next().is_some());
        assert_eq!(scene.next(), None);
        assert!(scene.state.kinds.iter().all(|turns| turns.count == 0 && turns.waiting.is_empty()));
    }

    proptest! {
        /// Requests come and go in any order: nobody is lost or served twice, and the counts are right.
        #[test]
        fn everybody_gets_a_turn(steps in prop::collection::vec((0u8..6, 0u8..4, any::<bool>()), 1..400)) {
            let mut scene = Scene::default();
            let (mut joined, mut served) = (0, 0);
            for (from, step, is_sign_up) in steps {
                match step {
                    0 => served += usize::from(scene.next().is_some()),
                    _ => joined += usize::from(scene.join(from, if is_sign_up { Purpose::SignUp } else { Purpose::Proof })),
                }
            }
            while scene.next().is_some() {
                served += 1;
            }
            prop_assert_eq!(joined, served);
            prop_assert!(scene.state.kinds.iter().all(|turns| turns.count == 0 && turns.waiting.is_empty()));
        }
    }

    #[tokio::test]
    async fn a_core_that_is_free_again_goes_to_the_next() {
        let queue = HashQueue::new(1);
        let asker = Asker { network: network(1), purpose: Purpose::Proof, presence: Presence::default() };
        let first = queue.wait(&asker).await.expect("a core");
        let (left, stays) = (queue.wait(&asker), queue.wait(&asker));
        drop(left);
        let waiting = async { stays.await.expect("a core") };
        let (second, ()) = tokio::join!(waiting, async {
            tokio::task::yield_now().await;
            drop(first);
        });
        drop(second);
        assert!(queue.wait(&asker).await.is_ok());
        assert_eq!(queue.lock().running, 0);
    }
}
