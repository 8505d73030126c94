use super::*;
use crate::capability::Capabilities;
use crate::peer::Credentials;
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

/// The events that a record stands for, as its reader counts them.
fn count(record: &Tally) -> u64 {
    1 + record.event().suppressed
}

impl Summaries {
    fn see(
        &mut self,
        occurrence: Occurrence,
        peer: &Peer,
        account: Account,
        now: Instant,
    ) -> Option<Tally> {
        self.note(Tally::one(occurrence, peer), account, now)
    }
}

#[test]
fn own_account_has_one_record_a_second() {
    let (mut summaries, start) = (Summaries::default(), Instant::now());
    let mut records = Vec::new();
    for turn in 0..10_000 {
        let now = start + SECOND / 1_000 * turn;
        records.extend(summaries.see(Occurrence::Accepted, &peer(7), Account::Own, now));
    }
    assert_eq!(records.len(), 10);
    let rest = summaries.due(start + SECOND * 10);
    assert_eq!(records.iter().chain(&rest).map(count).sum::<u64>(), 10_000);
    // All of them were this caller's, as the record says anyway.
    assert!(
        records
            .iter()
            .chain(&rest)
            .all(|due| due.event().suppressed_peers.is_none())
    );
}

#[test]
fn kinds_have_accounts_of_their_own() {
    let (mut summaries, now) = (Summaries::default(), Instant::now());
    let mut note = |what| summaries.see(what, &peer(7), Account::Own, now);
    assert!(note(Occurrence::Accepted).is_some());
    assert!(note(Occurrence::Limited(Refusal::Rate)).is_some());
    assert!(note(Occurrence::Limited(Refusal::Penalty)).is_none());
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
        records.extend(summaries.see(Occurrence::Unauthorized, &stranger, Account::Strangers, now));
        if turn % 35_000 == 0 {
            records.extend(summaries.due(now));
        }
    }
    assert!(records.len() <= 10 + 10 * 30, "{}", records.len());
    records.extend(summaries.finish());
    assert_eq!(records.iter().map(count).sum::<u64>(), u64::from(EVENTS));
    let last = records.last().unwrap();
    let event = last.event();
    let uid = |left_out: u64| {
        let turn = u32::try_from(u64::from(EVENTS) - 1 - left_out).unwrap();
        PeerId::Uid(100_000 + turn % 65_536)
    };
    let named = event.suppressed_peers;
    assert_eq!(named, Some((&uid(event.suppressed), &uid(1))));
    assert_eq!(last.peer.id, uid(0));
}

#[test]
fn strangers_take_nothing_from_the_known() {
    let (mut summaries, now) = (Summaries::default(), Instant::now());
    for uid in 0..100_000 {
        summaries.see(
            Occurrence::Unauthorized,
            &peer(uid),
            Account::Strangers,
            now,
        );
    }
    let refusal = Occurrence::Limited(Refusal::Rate);
    for uid in 0..500 {
        let record = summaries.see(refusal, &peer(uid), Account::Own, now);
        assert_eq!(record.unwrap().event().suppressed, 0);
    }
}

#[test]
fn sums_come_without_another_event() {
    let (mut summaries, now) = (Summaries::default(), Instant::now());
    for _ in 0..50 {
        summaries.see(Occurrence::Accepted, &peer(7), Account::Own, now);
        summaries.see(Occurrence::Unauthorized, &peer(8), Account::Strangers, now);
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
fn a_flood_does_not_hide_another_occurrence() {
    let (mut summaries, start) = (Summaries::default(), Instant::now());
    let flood = Occurrence::Limited(Refusal::Accepts);
    let mut found = 0;
    for turn in 0..50_000 {
        let now = start + SECOND / 10_000 * turn;
        summaries.see(flood, &peer(8), Account::Strangers, now);
        if turn == 20_000 {
            summaries.see(Occurrence::Unauthorized, &peer(9), Account::Strangers, now);
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
        let record = summaries.see(Occurrence::Accepted, &peer(uid), Account::Own, now);
        counted += record.as_ref().map_or(0, count);
        assert!(summaries.own.len() <= MAX_ACCOUNTS);
    }
    let rest = summaries.finish();
    let [shared] = &rest[..] else {
        panic!("{rest:?}")
    };
    let first = PeerId::Uid(u32::try_from(MAX_ACCOUNTS).unwrap() + 1);
    let named = shared.event().suppressed_peers;
    assert_eq!(named, Some((&first, &PeerId::Uid(9_998))));
    assert_eq!(counted + count(shared), 10_000);
}

#[test]
fn records_say_what_happened() {
    use EventType::{ConnectionAccepted, ConnectionDenied, LimiterRejection};
    let record = |occurrence: Occurrence| {
        let event = occurrence.event();
        (event.kind, event.decision, event.reason, event.limiter)
    };
    assert_eq!(
        record(Occurrence::Accepted),
        (ConnectionAccepted, Decision::Allowed, None, None)
    );
    assert_eq!(
        record(Occurrence::Unauthorized),
        (
            ConnectionDenied,
            Decision::Denied,
            Some("unauthorized"),
            None
        )
    );
    assert_eq!(
        record(Occurrence::Limited(Refusal::Connections)),
        (
            LimiterRejection,
            Decision::Denied,
            Some("rate_limited"),
            Some("connections")
        )
    );
}

#[test]
fn tallies_add_up_as_one_by_one() {
    let accepts = Occurrence::Limited(Refusal::Accepts);
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

fn occurrences() -> impl Strategy<Value = Occurrence> {
    prop_oneof![
        Just(Occurrence::Accepted),
        Just(Occurrence::Unauthorized),
        Just(Occurrence::Limited(Refusal::Rate)),
        Just(Occurrence::Limited(Refusal::Accepts)),
    ]
}

proptest! {
    /// Whatever happens when: every event is counted once, and strangers have no more
    /// records than their budget, and one of each occurrence that a tick brought out.
    #[test]
    fn every_event_is_counted(
        events in proptest::collection::vec(
            (occurrences(), 0..4u32, any::<bool>(), 0..400u64, any::<bool>()),
            1..400,
        ),
    ) {
        let (mut summaries, start) = (Summaries::default(), Instant::now());
        let (mut now, mut counted, mut strangers) = (start, 0, 0u128);
        for &(occurrence, uid, is_stranger, gap, is_tick) in &events {
            now += Duration::from_millis(gap);
            let account = if is_stranger { Account::Strangers } else { Account::Own };
            let record = summaries.see(occurrence, &peer(uid), account, now);
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
