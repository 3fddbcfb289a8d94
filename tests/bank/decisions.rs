//! The decisions of a batch, without a database: keys, references, reversals, and requests that are all or nothing.

use std::collections::{HashMap, HashSet};

use coffer_core::books::account::Account;
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::command::{Command, Requester, Reverses};
use coffer_core::books::decisions::{Decisions, PendingBefore, Receipt, Verdict};
use coffer_core::books::postings::Postings;
use coffer_core::books::refusal::Refusal;
use coffer_core::books::rules::Book;
use coffer_core::books::tags::{Pairs, Tag, Tags, TakenReference};
use coffer_core::books::texts::Texts;
use coffer_core::timestamp::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use crate::rules::{Draft, MAXIMUM, accounts, command, drafts};

/// A command: perhaps with one of few keys, as the reversal of an earlier command, or with one of few references.
type CommandDraft = (Draft, Option<u8>, Option<usize>, Option<u8>);

/// One request: its commands, all or nothing, or each by itself.
#[derive(Clone, Debug)]
struct Request {
    drafts: Vec<CommandDraft>,
    atomic: bool,
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let draft = (
        drafts(),
        prop::option::weighted(0.3, 0..4u8),
        prop::option::weighted(0.2, 0..20usize),
        prop::option::weighted(0.3, 0..4u8),
    );
    let request = (prop::collection::vec(draft, 1..6), any::<bool>());
    prop::collection::vec(request.prop_map(|(drafts, atomic)| Request { drafts, atomic }), 1..12)
}

/// The commands of each request. A reversal mirrors the command that it names, by whoever may do everything.
fn commands(requests: &[Request], accounts: &[Account]) -> Vec<(Vec<Command>, bool)> {
    let mut all: Vec<Command> = Vec::new();
    let build = |request: &Request| {
        let mut commands = Vec::new();
        for (draft, key, reverses, reference) in &request.drafts {
            let mut command = command(draft, accounts, all.len());
            command.idempotency_key = key.map(|key| [key; 16]);
            let tags = Tags::new(reference.map(|reference| reference.to_string()), Pairs::new());
            command.texts = Texts::new(None, tags, [7; 16]);
            if let Some(original) = reverses.and_then(|index| all.get(index)) {
                let record = Box::new(Event::at(Action::MovementReversed, Timestamp::from_micros(5)));
                command.movement = original.movement.mirror();
                command.amount = original.amount;
                command.requester = Requester { acts_on_any_account: true, ..command.requester };
                command.reverses = Some(Reverses { transaction_id: original.id, record });
            }
            all.push(command.clone());
            commands.push(command);
        }
        (commands, request.atomic)
    };
    requests.iter().map(build).collect()
}

fn decisions(accounts: &[Account]) -> Decisions {
    let now = Timestamp::from_micros(10);
    let book = Book::new(accounts.to_vec(), now, MAXIMUM);
    Decisions::new(book, Vec::new(), Vec::new(), Vec::new(), Vec::new(), PendingBefore::default(), now)
}

fn decide_all(accounts: &[Account], requests: &[(Vec<Command>, bool)]) -> (Vec<Vec<Verdict>>, Decisions) {
    let mut decisions = decisions(accounts);
    let verdicts = requests.iter().map(|(commands, atomic)| decisions.decide_request(commands, *atomic)).collect();
    (verdicts, decisions)
}

fn check_keys(requests: &[(Vec<Command>, bool)], verdicts: &[Vec<Verdict>]) {
    let mut first_with: HashMap<[u8; 16], Uuid> = HashMap::new();
    for ((commands, atomic), verdicts) in requests.iter().zip(verdicts) {
        let falls_whole = *atomic && verdicts.iter().any(Result::is_err);
        for (command, verdict) in commands.iter().zip(verdicts) {
            let Some(key) = command.idempotency_key else { continue };
            match (verdict, first_with.get(&key)) {
                (Ok(Receipt::Posted(_)), None) => drop(first_with.insert(key, command.id)),
                (Ok(Receipt::Posted(entry)), Some(_)) => {
                    panic!("{entry:?} was booked with a key that had taken effect")
                }
                (Ok(Receipt::Replay { transaction_id }), first) => assert_eq!(Some(transaction_id), first),
                // Of a request that is refused whole, the first with the key may have fallen with the rest.
                (Err(Refusal::IdempotencyKeyReused), first) => assert!(first.is_some() || falls_whole),
                (Ok(Receipt::Pending(_) | Receipt::Held(_)) | Err(_), _) => {}
            }
        }
    }
}

/// The model: a dictionary of who has used which reference for what.
fn check_references(requests: &[(Vec<Command>, bool)], verdicts: &[Vec<Verdict>], postings: &Postings) {
    let mut taken: HashMap<(Uuid, String), Uuid> = HashMap::new();
    for ((commands, atomic), verdicts) in requests.iter().zip(verdicts) {
        let falls_whole = *atomic && verdicts.iter().any(Result::is_err);
        let mut by_this = HashMap::new();
        for (command, verdict) in commands.iter().zip(verdicts) {
            let Some(reference) = command.texts.tags.reference() else { continue };
            let name = (command.requester.user_id, reference.to_owned());
            let is_repeated = by_this.contains_key(&name);
            match (verdict, taken.get(&name).or(by_this.get(&name))) {
                (Ok(Receipt::Posted(_)), None) => drop(by_this.insert(name, command.id)),
                (Ok(Receipt::Posted(entry)), Some(_)) => panic!("{entry:?} has a reference that was taken"),
                // Of a request that is refused whole, the first with the reference has fallen with the rest.
                (Err(Refusal::ReferenceRepeated), _) => assert!(is_repeated || falls_whole),
                (Err(Refusal::ReferenceTaken { by }), _) => assert_eq!(taken.get(&name), Some(by)),
                (Ok(_) | Err(_), _) => {}
            }
        }
        taken.extend(by_this);
    }
    let written: HashMap<_, _> = postings
        .tags
        .iter()
        .filter_map(|new| Some(((new.requested_by, new.tags.reference()?.to_owned()), new.id)))
        .collect();
    assert_eq!((written.len(), &written), (postings.tags.len(), &taken));
    // Each is found by the account that was acted on.
    assert_eq!(postings.tagged_entries.len(), taken.len());
    for found in &postings.tagged_entries {
        let entry = postings
            .entries
            .iter()
            .find(|it| (it.account_number, it.sequence) == (found.account_number, found.sequence));
        let entry = entry.expect("an entry");
        assert_eq!((entry.transaction_id, entry.texts.tags.has(&found.tag)), (found.transaction_id, true));
        let transaction = postings.transactions.iter().find(|it| it.id == found.transaction_id).expect("a transaction");
        let acted_on =
            if transaction.debit_sequence.is_some() { transaction.debit_account } else { transaction.credit_account };
        assert_eq!(found.account_number, acted_on);
    }
}

fn check_reversals(postings: &Postings) {
    let undone: HashSet<_> = postings.reversals.iter().map(|reversal| reversal.transaction_id).collect();
    assert_eq!(undone.len(), postings.reversals.len(), "one was undone twice");
    assert!(postings.reversals.iter().all(|reversal| !undone.contains(&reversal.reversal_id)), "a reversal was undone");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// An atomic request is booked whole or not at all, and one that is not leaves no trace: the batch is what it would
    /// have been without it.
    #[test]
    fn requests_that_are_refused_whole_leave_no_trace(requests in requests()) {
        let accounts = accounts();
        let requests = commands(&requests, &accounts);
        let (verdicts, decisions) = decide_all(&accounts, &requests);
        for ((_, atomic), verdicts) in requests.iter().zip(&verdicts) {
            let refused = verdicts.iter().filter(|verdict| verdict.is_err()).count();
            prop_assert!(!atomic || refused == 0 || refused == verdicts.len());
        }
        check_keys(&requests, &verdicts);
        check_reversals(&decisions.postings);
        check_references(&requests, &verdicts, &decisions.postings);

        let is_accepted = |verdicts: &Vec<Verdict>| verdicts.iter().any(Result::is_ok);
        let accepted: Vec<_> =
            requests.iter().zip(&verdicts).filter(|(_, verdicts)| is_accepted(verdicts)).map(|(it, _)| it.clone()).collect();
        let (again, without) = decide_all(&accounts, &accepted);
        prop_assert_eq!(verdicts.into_iter().filter(is_accepted).collect::<Vec<_>>(), again);
        let (one, other) = (&decisions.postings, &without.postings);
        prop_assert_eq!(&one.transactions, &other.transactions);
        prop_assert_eq!(&one.entries, &other.entries);
        prop_assert_eq!(&one.used_keys, &other.used_keys);
        prop_assert_eq!(&one.reversals, &other.reversals);
        prop_assert_eq!(&one.tags, &other.tags);
        prop_assert_eq!(&one.tagged_entries, &other.tagged_entries);
        prop_assert_eq!(one.records.len(), other.records.len());
        let heads = |decisions: &Decisions| {
            decisions.heads().into_iter().map(|head| (head.account_number, head.balance, head.head_hash)).collect::<Vec<_>>()
        };
        prop_assert_eq!(heads(&decisions), heads(&without));
    }

    /// A preview is the decision that would be made, and leaves no trace among its neighbours.
    #[test]
    fn previews_say_what_will_be_decided(requests in requests()) {
        let accounts = accounts();
        let requests = commands(&requests, &accounts);
        let (expected, without) = decide_all(&accounts, &requests);
        let mut decisions = decisions(&accounts);
        for ((commands, atomic), expected) in requests.iter().zip(expected) {
            prop_assert_eq!(&decisions.preview_request(commands, *atomic), &expected);
            prop_assert_eq!(decisions.decide_request(commands, *atomic), expected);
        }
        prop_assert_eq!(&decisions.postings.entries, &without.postings.entries);
        prop_assert_eq!(decisions.postings.records.len(), without.postings.records.len());
    }
}

/// What was taken before the batch, by the requester and by somebody else.
#[test]
fn a_reference_that_was_taken_before_the_batch_is_refused_to_whoever_took_it() {
    let accounts = accounts();
    let by = Uuid::from_u128(99);
    let draft = crate::rules::a_deposit();
    let mut command = command(&draft, &accounts, 0);
    command.texts = Texts::new(None, Tags::new(Some("A".to_owned()), Pairs::new()), [7; 16]);
    let requester = command.requester.user_id;
    let taken = |requested_by| TakenReference { requested_by, reference: "A".to_owned(), id: by };
    let mut refusing = decisions(&accounts).with_taken(vec![taken(requester)]);
    let verdicts = refusing.decide_request(std::slice::from_ref(&command), false);
    assert_eq!(verdicts, [Err(Refusal::ReferenceTaken { by })]);
    let mut taking = decisions(&accounts).with_taken(vec![taken(by)]);
    assert!(taking.decide_request(&[command], false)[0].is_ok());
    assert_eq!(taking.postings.tagged_entries[0].tag, Tag::reference("A"));
}
