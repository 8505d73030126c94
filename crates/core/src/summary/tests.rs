use super::*;
use crate::callers::capability::Capabilities;
use crate::callers::limiter::Refusal;
use crate::callers::peer::Credentials;
use proptest::prelude::*;

const SECOND: Duration = INTERVAL;

fn peer(uid: u32) -> Peer {
    let (gid, pid) = (uid, 1);
    Peer {
        credentials: Credentials { uid, gid, pid },
        id: PeerId::Uid(uid),
        container: None,
        capabilities: Capabilities::NONE,
    }
}

/// The events that a record leaves out.
fn left_out(record: &Tally) -> u64 {
    let suppressed = record.event().members().suppressed;
    suppressed.map_or(0, |suppressed| suppressed.count.get())
}

/// The events that a record stands for, as its reader counts them.
fn count(record: &Tally) -> u64 {
    1 + left_out(record)
}

/// The first and the last caller that a record names besides its own.
fn named(record: &Tally) -> Option<(PeerId, PeerId)> {
    let (first, last) = record.event().members().suppressed?.peers?;
    Some((first.clone(), last.clone()))
}

impl Summaries {
    fn see(
        &mut self,
        access: Access,
        peer: &Peer,
        account: Account,
        now: Instant,
    ) -> Option<Tally> {
        self.note(Tally::one(access, peer), account, now)
    }
}

#[test]
fn own_account_has_one_record_a_second() {
    let (mut summaries, start) = (Summaries::default(), Instant::now());
    let mut records = Vec::new();
    for turn in 0..10_000 {
        let now = start + SECOND / 1_000 * turn;
        records.extend(summaries.see(Access::Accepted, &peer(7), Account::Own, now));
    }
    assert_eq!(records.len(), 10);
    let rest = summaries.due(start + SECOND * 10);
    assert_eq!(records.iter().chain(&rest).map(count).sum::<u64>(), 10_000);
    // All of them were this caller's, as the record says anyway.
    assert!(records.iter().chain(&rest).all(|due| named(due).is_none()));
}

#[test]
fn kinds_have_accounts_of_their_own() {
    let (mut summaries, now) = (Summaries::default(), Instant::now());
    let mut note = |what| summaries.see(what, &peer(7), Account::Own, now);
    assert!(note(Access::Accepted).is_some());
    assert!(note(Access::Limited(Refusal::Rate)).is_some());
    assert!(note(Access::Limited(Refusal::Penalty)).is_none());
}

/// Two processes with a subordinate range, as fast as they were measured.
#[test]
fn strangers_are_bounded_together() {
    const EVENTS: u32 = 7_000 * 30;
    let (mut summaries, start) = (Summaries::default(), Instant::now());
    let mut records = Vec::new();
    for turn in 0..EVENTS {
        let now = start + SECOND * turn / 7_000;
        let stranger = peer(100_000 + turn % 65_536);
        records.extend(summaries.see(Access::Unauthorized, &stranger, Account::Strangers, now));
        if turn % 35_000 == 0 {
            records.extend(summaries.due(now));
        }
    }
    assert!(records.len() <= 10 + 10 * 30, "{}", records.len());
    records.extend(summaries.finish());
    assert_eq!(records.iter().map(count).sum::<u64>(), u64::from(EVENTS));
    let last = records.last().unwrap();
    let uid = |before: u64| {
        let turn = u32::try_from(u64::from(EVENTS) - 1 - before).unwrap();
        PeerId::Uid(100_000 + turn % 65_536)
    };
    assert_eq!(named(last), Some((uid(left_out(last)), uid(1))));
    assert_eq!(last.peer.id, uid(0));
}

#[test]
fn strangers_take_nothing_from_the_known() {
    let (mut summaries, now) = (Summaries::default(), Instant::now());
    for uid in 0..100_000 {
        summaries.see(Access::Unauthorized, &peer(uid), Account::Strangers, now);
    }
    let refusal = Access::Limited(Refusal::Rate);
    for uid in 0..500 {
        let record = summaries.see(refusal, &peer(uid), Account::Own, now);
        assert_eq!(left_out(&record.unwrap()), 0);
    }
}

#[test]
fn sums_come_without_another_event() {
    let (mut summaries, now) = (Summaries::default(), Instant::now());
    for _ in 0..50 {
        summaries.see(Access::Accepted, &peer(7), Account::Own, now);
        summaries.see(Access::Unauthorized, &peer(8), Account::Strangers, now);
    }
    assert_eq!(summaries.due(now + SECOND / 2), []);
    let mut due = summaries.due(now + SECOND);
    due.sort_by_key(|record| record.peer.credentials.uid);
    let counts = due.iter().map(|due| (due.peer.credentials.uid, count(due)));
    assert_eq!(counts.collect::<Vec<_>>(), [(7, 49), (8, 40)]);
    assert_eq!(summaries.due(now + SECOND * 9), []);
    assert!(summaries.own.is_empty());
}

#[test]
fn a_flood_does_not_hide_another_access() {
    let (mut summaries, start) = (Summaries::default(), Instant::now());
    let flood = Access::Limited(Refusal::Accepts);
    let mut found = 0;
    for turn in 0..50_000 {
        let now = start + SECOND / 10_000 * turn;
        summaries.see(flood, &peer(8), Account::Strangers, now);
        if turn == 20_000 {
            summaries.see(Access::Unauthorized, &peer(9), Account::Strangers, now);
        }
        if turn % 10_000 == 0 {
            let due = summaries.due(now);
            let unauthorised = due.iter().filter(|due| due.peer.credentials.uid == 9);
            found += unauthorised.map(count).sum::<u64>();
        }
    }
    assert_eq!(found, 1);
}

#[test]
fn callers_beyond_the_cap_share_an_account() {
    let (mut summaries, now) = (Summaries::default(), Instant::now());
    let mut counted = 0;
    for uid in 0..10_000 {
        let record = summaries.see(Access::Accepted, &peer(uid), Account::Own, now);
        counted += record.as_ref().map_or(0, count);
        assert!(summaries.own.len() <= MAX_ACCOUNTS);
    }
    let rest = summaries.finish();
    let [shared] = &rest[..] else {
        panic!("{rest:?}")
    };
    let first = PeerId::Uid(u32::try_from(MAX_ACCOUNTS).unwrap() + 1);
    assert_eq!(named(shared), Some((first, PeerId::Uid(9_998))));
    assert_eq!(counted + count(shared), 10_000);
}

#[test]
fn tallies_add_up_as_one_by_one() {
    let accepts = Access::Limited(Refusal::Accepts);
    let one = |uid| Tally::one(accepts, &peer(uid));
    let of = |uids: &[u32]| {
        let mut tallies = uids.iter().map(|uid| one(*uid));
        let first = tallies.next().unwrap();
        tallies.fold(first, |mut sum, tally| {
            sum.add(tally);
            sum
        })
    };
    let uids = [7, 8, 9, 10, 11];
    for cut in 1..uids.len() {
        let (before, after) = uids.split_at(cut);
        let mut sum = of(before);
        sum.add(of(after));
        assert_eq!(sum, of(&uids), "{cut}");
    }
}

fn accesses() -> impl Strategy<Value = Access> {
    prop_oneof![
        Just(Access::Accepted),
        Just(Access::Unauthorized),
        Just(Access::Limited(Refusal::Rate)),
        Just(Access::Limited(Refusal::Accepts)),
    ]
}

proptest! {
    /// Whatever happens when: every event is counted once, and strangers have no more
    /// records than their budget, and one of each access that a tick brought out.
    #[test]
    fn every_event_is_counted(
        events in proptest::collection::vec(
            (accesses(), 0..4u32, any::<bool>(), 0..400u64, any::<bool>()),
            1..400,
        ),
    ) {
        let (mut summaries, start) = (Summaries::default(), Instant::now());
        let (mut now, mut counted, mut strangers) = (start, 0, 0u128);
        for &(access, uid, is_stranger, gap, is_tick) in &events {
            now += Duration::from_millis(gap);
            let account = if is_stranger { Account::Strangers } else { Account::Own };
            let record = summaries.see(access, &peer(uid), account, now);
            strangers += u128::from(is_stranger && record.is_some());
            counted += record.as_ref().map_or(0, count);
            if is_tick {
                counted += summaries.due(now).iter().map(count).sum::<u64>();
            }
            prop_assert!(strangers <= 10 + (now - start).as_millis() / 100);
        }
        counted += summaries.finish().iter().map(count).sum::<u64>();
        prop_assert_eq!(counted, events.len() as u64);
    }
}
