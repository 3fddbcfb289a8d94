//! The rules of money, compared with a model that is too simple to be wrong.

use std::collections::HashMap;

use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::{BankAccount, BankAccountId};
use coffer_core::books::account::{Account, AccountStatus};
use coffer_core::books::chain::entry_hash;
use coffer_core::books::command::{Command, DualControl, Requester, Step};
use coffer_core::books::movement::Movement;
use coffer_core::books::refusal::Refusal;
use coffer_core::books::rules::{Book, Outcome, decide};
use coffer_core::books::texts::Texts;
use coffer_core::money::{Amount, Currency};
use coffer_core::timestamp::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

pub const MAXIMUM: i64 = 1_000_000_000;
/// As many accounts as fit a small state space: two owners, two currencies, one closed, one frozen, one with overdraft.
const ACCOUNTS: usize = 7;

fn owner(index: u128) -> Uuid {
    Uuid::from_u128(index)
}

pub fn accounts() -> Vec<Account> {
    let numbers: Vec<AccountNumber> = (0..ACCOUNTS).map(|_| AccountNumber::random().expect("random")).collect();
    let currency = |code| Currency::from_code(code).expect("a currency");
    let at = Timestamp::from_micros(1);
    let mut accounts: Vec<Account> = numbers
        .iter()
        .enumerate()
        .map(|(i, number)| {
            let code = if i == 3 { "JPY" } else { "USD" };
            Account::open(*number, owner(1 + i as u128 % 2), currency(code), None, at)
        })
        .collect();
    accounts[4].status = AccountStatus::Closed;
    accounts[5].status = AccountStatus::Frozen;
    accounts[6].overdraft_limit = 500;
    accounts
}

/// A random command in small numbers: who, what, from where, to where, how much in cents.
#[derive(Clone, Debug)]
pub struct Draft {
    user: u128,
    staff: bool,
    kind: u8,
    from: usize,
    to: usize,
    amount: u32,
    decimals: bool,
    /// Which account of the bank's, where one is on the other side.
    against: i16,
}

/// A deposit to an account of the requester's.
pub fn a_deposit() -> Draft {
    Draft { user: 1, staff: false, kind: 0, from: 0, to: 0, amount: 1, decimals: true, against: 0 }
}

prop_compose! {
    pub fn drafts()(user in 1..=3u128, staff in prop::bool::weighted(0.2), kind in 0..3u8, from in 0..=ACCOUNTS,
                to in 0..=ACCOUNTS, amount in 1..2_000u32, decimals in prop::bool::weighted(0.8), against in 0..3i16) -> Draft {
        Draft { user, staff, kind, from, to, amount, decimals, against }
    }
}

pub fn command(draft: &Draft, accounts: &[Account], index: usize) -> Command {
    let unknown = AccountNumber::random().expect("random");
    let number = |at: usize| accounts.get(at).map_or(unknown, |account| account.account_number);
    let against = BankAccount {
        id: BankAccountId::from_i16(draft.against),
        code: format!("own_{}", draft.against).parse().expect("a code"),
    };
    let movement = match draft.kind {
        0 => Movement::Deposit { to: number(draft.to), against },
        1 => Movement::Withdrawal { from: number(draft.from), against },
        _ => Movement::Transfer { from: number(draft.from), to: number(draft.to) },
    };
    let amount = if draft.decimals {
        format!("{}.{:02}", draft.amount / 100, draft.amount % 100)
    } else {
        draft.amount.to_string()
    };
    Command {
        id: Uuid::from_u128(1_000 + index as u128),
        requester: Requester {
            user_id: owner(draft.user),
            acts_on_any_account: draft.staff,
            deposits_to_own: true,
            approval_above: None,
            key: None,
        },
        movement,
        step: Step::Post,
        amount: Amount::parse(&amount).expect("a plain decimal"),
        currency: None,
        texts: Texts::default(),
        idempotency_key: None,
        dual_control: DualControl::Refuse,
        expected_sequences: None,
        reverses: None,
        record: None,
        at: None,
    }
}

/// What the model thinks of a command: the balances after it, or None for "refused".
fn model(draft: &Draft, accounts: &[Account], balances: &[i64]) -> Option<Vec<i64>> {
    let (from, to) = match draft.kind {
        0 => (None, Some(draft.to)),
        1 => (Some(draft.from), None),
        _ => (Some(draft.from), Some(draft.to)),
    };
    let acted_on = from.or(to)?;
    let own = accounts.get(acted_on)?;
    let is_allowed = own.owner_id == Some(owner(draft.user)) || draft.staff;
    let involved = [from, to].into_iter().flatten();
    let all_open = involved.clone().all(|at| accounts.get(at).is_some_and(|a| a.status == AccountStatus::Open));
    let one_currency = involved.clone().all(|at| accounts.get(at).is_some_and(|a| a.currency == own.currency));
    let is_yen = own.currency.decimals() == 0;
    if !is_allowed || !all_open || !one_currency || from == to || (is_yen && draft.decimals) {
        return None;
    }
    let minor = i64::from(draft.amount) * if draft.decimals || is_yen { 1 } else { 100 };
    let mut after = balances.to_vec();
    if let Some(from) = from {
        after[from] -= minor;
        if after[from] < -accounts[from].overdraft_limit {
            return None;
        }
    }
    if let Some(to) = to {
        after[to] += minor;
    }
    Some(after)
}

/// Debits equal credits, histories go on where they were, and hashes chain.
fn check_outcome(movement: Movement, outcome: &Outcome, heads: &mut HashMap<AccountNumber, ([u8; 32], i64, i64)>) {
    let transaction = &outcome.transaction;
    let bank = movement.against().map(|against| AccountNumber::of_bank(against.id, transaction.currency));
    let mut sides = HashMap::new();
    for entry in [Some(&outcome.entry), outcome.counter_entry.as_ref()].into_iter().flatten() {
        let (hash, sequence, balance) = heads.get(&entry.account_number).copied().unwrap_or(([0; 32], 0, 0));
        assert_eq!(entry.sequence, sequence + 1);
        assert_eq!(entry.balance, balance + entry.amount);
        let other_side = entry.counterparty.or(bank).expect("another side");
        assert_eq!(entry.hash, entry_hash(&hash, entry, other_side));
        assert_eq!(entry.against, movement.against().map(|against| against.code));
        assert_eq!(entry.transaction_id, transaction.id);
        heads.insert(entry.account_number, (entry.hash, entry.sequence, entry.balance));
        sides.insert(entry.account_number, entry.amount);
    }
    let debit = sides.get(&transaction.debit_account).copied();
    let credit = sides.get(&transaction.credit_account).copied();
    assert_eq!(debit.unwrap_or(-transaction.amount), -transaction.amount);
    assert_eq!(credit.unwrap_or(transaction.amount), transaction.amount);
    assert_eq!(debit.is_none(), Some(transaction.debit_account) == bank);
    assert_eq!(credit.is_none(), Some(transaction.credit_account) == bank);
    assert_eq!(transaction.debit_sequence.is_none(), debit.is_none());
}

fn balances(book: &Book, accounts: &[Account]) -> Vec<i64> {
    let balance = |account: &Account| book.account(account.account_number).expect("loaded").balance;
    accounts.iter().map(balance).collect()
}

#[test]
fn what_happened_before_is_dated_back_but_never_before_the_last_entry_or_into_the_future() {
    let accounts = accounts();
    let mut book = Book::new(accounts.clone(), Timestamp::from_micros(1_000), MAXIMUM);
    let draft = Draft { user: 1, staff: false, kind: 0, from: 0, to: 0, amount: 1, decimals: true, against: 0 };
    for (index, (at, dated)) in
        [(Some(10), 10), (Some(5), 10), (Some(20), 20), (Some(2_000), 1_000), (None, 1_000)].into_iter().enumerate()
    {
        let command = Command { at: at.map(Timestamp::from_micros), ..command(&draft, &accounts, index) };
        let outcome = decide(&mut book, &command).expect("a deposit");
        let dated = Timestamp::from_micros(dated);
        assert_eq!((outcome.entry.created_at, outcome.transaction.created_at), (dated, dated), "{at:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_commands_do_what_the_model_says(drafts in prop::collection::vec(drafts(), 1..60)) {
        let accounts = accounts();
        let mut book = Book::new(accounts.clone(), Timestamp::from_micros(2), MAXIMUM);
        let (mut expected, mut heads) = (vec![0; ACCOUNTS], HashMap::new());
        for (index, draft) in drafts.iter().enumerate() {
            let before = format!("{book:?}");
            let command = command(draft, &accounts, index);
            match (decide(&mut book, &command), model(draft, &accounts, &expected)) {
                (Ok(outcome), Some(after)) => {
                    check_outcome(command.movement, &outcome, &mut heads);
                    expected = after;
                }
                (Err(_), None) => prop_assert_eq!(before, format!("{book:?}"), "a refused command left a trace"),
                (decided, modelled) => prop_assert!(false, "{:?} gave {:?}, the model {:?}", draft, decided, modelled),
            }
            prop_assert_eq!(&balances(&book, &accounts), &expected);
            for (balance, account) in expected.iter().zip(&accounts) {
                prop_assert!(*balance >= -account.overdraft_limit);
            }
        }
    }

    /// Staff need a second approver for what only their role lets them do with an account of their own, and for
    /// movements for others and deposits that together make a large sum.
    #[test]
    fn staff_need_a_second_person_for_what_is_large_in_all_or_their_own(
        drafts in prop::collection::vec(drafts(), 1..60), units in 0..10i64,
    ) {
        let accounts = accounts();
        let mut book = Book::new(accounts.clone(), Timestamp::from_micros(2), MAXIMUM);
        let mut moved_alone: HashMap<_, i64> = HashMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            let command = command(draft, &accounts, index);
            let requester = Requester { approval_above: Some(units), ..command.requester };
            let before = format!("{book:?}");
            let alone = decide(&mut book, &Command { requester, ..command.clone() });
            let is_refused = matches!(alone, Err(Refusal::ApprovalRequired { .. }));
            let any = if alone.is_ok() { alone } else {
                prop_assert_eq!(before, format!("{book:?}"), "a refused command left a trace");
                decide(&mut book, &command)
            };
            let needs_two = any.is_ok_and(|Outcome { transaction, entry, counter_entry }| {
                let owns = |number| book.account(number).expect("loaded").owner_id == Some(requester.user_id);
                let is_own = owns(entry.account_number);
                // What goes against another account of the bank's than its cash takes the power of the role.
                let is_by_role = draft.kind != 2 && draft.against != 0;
                if is_own && draft.kind != 0 && !is_by_role {
                    return false;
                }
                let sum = moved_alone.entry((requester.user_id, transaction.currency)).or_default();
                let is_large = *sum + transaction.amount > units * 10i64.pow(transaction.currency.decimals());
                let is_received = counter_entry.is_some_and(|counter| owns(counter.account_number));
                let is_for_oneself = is_received || (is_own && is_by_role);
                if !is_large && !is_for_oneself {
                    *sum += transaction.amount;
                }
                is_large || is_for_oneself
            });
            prop_assert_eq!(is_refused, needs_two, "{:?}", draft);
        }
    }

    /// A command says which sequences its account may have. Whoever may not act on the account does not hear of its sequence.
    #[test]
    fn what_is_expected_of_an_account_decides_whether_and_nothing_else(
        drafts in prop::collection::vec((drafts(), prop::collection::vec(0..6i64, 0..4)), 1..60),
    ) {
        let accounts = accounts();
        let mut book = Book::new(accounts.clone(), Timestamp::from_micros(2), MAXIMUM);
        for (index, (draft, expected)) in drafts.iter().enumerate() {
            let command = command(draft, &accounts, index);
            let before = format!("{book:?}");
            let acted_on = match command.movement.sides() {
                (Some(from), _) => book.account(from).cloned(),
                (None, to) => to.and_then(|to| book.account(to).cloned()),
            };
            let expecting = Command { expected_sequences: Some(expected.as_slice().into()), ..command.clone() };
            match (decide(&mut book, &expecting), acted_on) {
                (Err(Refusal::BalanceMovedOn { sequence }), Some(account)) => {
                    prop_assert_eq!((sequence, account.status), (account.sequence, AccountStatus::Open));
                    prop_assert!(!expected.contains(&sequence));
                    prop_assert!(draft.staff || account.owner_id == Some(owner(draft.user)));
                    prop_assert_eq!(before, format!("{book:?}"), "a refused command left a trace");
                    let _ = decide(&mut book, &command);
                }
                (Ok(_), Some(account)) => prop_assert!(expected.contains(&account.sequence)),
                (Err(refusal), _) => prop_assert_eq!(decide(&mut book, &command), Err(refusal)),
                (Ok(_), None) => prop_assert!(false, "a movement of no account"),
            }
        }
    }

    #[test]
    fn a_balance_never_wraps(start in i64::MAX - 100_000..=i64::MAX, amount in 1..200_000u32) {
        let mut account = accounts().swap_remove(0);
        account.balance = start;
        let draft = Draft { user: 1, staff: false, kind: 0, from: 0, to: 0, amount, decimals: true, against: 0 };
        let accounts = vec![account];
        let mut book = Book::new(accounts.clone(), Timestamp::from_micros(2), MAXIMUM);
        let decided = decide(&mut book, &command(&draft, &accounts, 0));
        match start.checked_add(amount.into()) {
            Some(sum) => prop_assert_eq!(decided.expect("room for it").entry.balance, sum),
            None => prop_assert_eq!(decided, Err(Refusal::BalanceOverflow)),
        }
    }
}

#[test]
fn an_entry_is_never_dated_before_the_one_ahead_of_it() {
    let mut accounts = accounts();
    accounts[0].last_entry_at = Timestamp::from_micros(50);
    accounts[2].last_entry_at = Timestamp::from_micros(90);
    let draft =
        |kind, amount| Draft { user: 1, staff: false, kind, from: 0, to: 2, amount, decimals: true, against: 0 };
    let mut book = Book::new(accounts.clone(), Timestamp::from_micros(10), MAXIMUM);
    let first = Draft { to: 0, ..draft(0, 500) };
    let deposit = decide(&mut book, &command(&first, &accounts, 0)).expect("accepted");
    let transfer = decide(&mut book, &command(&draft(2, 100), &accounts, 1)).expect("accepted");
    assert_eq!(deposit.entry.created_at, Timestamp::from_micros(50));
    assert_eq!(transfer.entry.created_at, Timestamp::from_micros(90));
    assert_eq!(transfer.counter_entry.expect("two sides").created_at, Timestamp::from_micros(90));
}
