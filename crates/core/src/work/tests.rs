use super::*;
use proptest::prelude::*;

fn node(i: usize) -> NodeName {
    NodeName::parse(&format!("pve{i}")).unwrap()
}

fn starts(queue: &mut WorkQueue) -> Vec<NodeName> {
    std::iter::from_fn(|| queue.start_next()).collect()
}

fn queue() -> WorkQueue {
    WorkQueue::new(Caps::default())
}

const A: PeerId = PeerId::Uid(1);
const B: PeerId = PeerId::Uid(2);

#[test]
fn left_flights_start_later() {
    let mut queue = queue();
    let tickets: Vec<_> = (0..4)
        .map(|i| queue.request(&A, &node(i)).unwrap())
        .collect();
    let running = starts(&mut queue);
    assert_eq!(running, [node(0), node(1)]);
    assert!(queue.leave_running(&node(0), tickets[0]));
    assert!(!queue.leave_running(&node(2), tickets[2]));
    // A second request for the same node leaves, and the flight stays queued.
    let again = queue.request(&A, &node(2)).unwrap();
    assert!(queue.leave_running(&node(2), again));
    // One that is given up is dropped.
    queue.leave(&node(3), tickets[3]);
    assert_eq!(queue.queued(), 1);
    assert!(queue.finish(&node(0), true).is_empty());
    assert_eq!(starts(&mut queue), [node(2)]);
    assert_eq!(queue.finish(&node(2), true), [tickets[2]]);
    queue.finish(&node(1), true);
    assert!(queue.callers.is_empty() && queue.flights.is_empty());
}

/// Each of two callers has been told that the reading goes on, or has given it up.
#[test]
fn left_flight_outlives_others() {
    for b_leaves_running in [false, true] {
        let mut queue = queue();
        let busy: Vec<_> = (10..18)
            .map(|uid| {
                let other = node(uid as usize);
                let ticket = queue.request(&PeerId::Uid(uid), &other).unwrap();
                (other, ticket)
            })
            .collect();
        assert_eq!(starts(&mut queue).len(), 8);
        let [a, b] = [&A, &B].map(|peer| queue.request(peer, &node(9)).unwrap());
        assert!(!queue.leave_running(&node(9), a));
        if b_leaves_running {
            assert!(!queue.leave_running(&node(9), b));
        } else {
            queue.leave(&node(9), b);
        }
        assert_eq!(queue.queued(), 1);
        for (node, ticket) in busy {
            assert_eq!(queue.finish(&node, true), [ticket]);
        }
        assert_eq!(starts(&mut queue), [node(9)]);
        assert!(queue.finish(&node(9), true).contains(&a));
        assert!(queue.callers.is_empty() && queue.flights.is_empty());
    }
}

#[test]
fn left_requests_take_no_room() {
    let mut queue = queue();
    for _ in 0..3 {
        let tickets: Vec<_> = (0..128)
            .map(|i| (node(i), queue.request(&A, &node(i)).unwrap()))
            .collect();
        starts(&mut queue);
        for (node, ticket) in tickets {
            queue.leave_running(&node, ticket);
        }
    }
    // One for each queued node, however often the caller came.
    assert_eq!((queue.queued(), queue.callers[&A].left), (126, 126));
    assert_eq!(queue.callers[&A].queue.len(), 126);
}

#[test]
fn caller_runs_two_and_all_eight() {
    let mut queue = queue();
    for peer in 0..6 {
        for i in 0..10 {
            queue
                .request(&PeerId::Uid(peer), &node(peer as usize * 10 + i))
                .unwrap();
        }
    }
    let mut running = starts(&mut queue);
    assert_eq!((running.len(), queue.running(), queue.queued()), (8, 8, 52));
    let mut order = Vec::new();
    while let Some(node) = running.pop() {
        assert_eq!(queue.finish(&node, true).len(), 1);
        order.push(node);
        running.extend(starts(&mut queue));
        assert!(queue.running() <= 8);
    }
    assert_eq!((order.len(), queue.running(), queue.queued()), (60, 0, 0));
}

#[test]
fn callers_of_a_node_share_flight() {
    let mut queue = queue();
    let first = queue.request(&A, &node(1)).unwrap();
    assert_eq!(starts(&mut queue), [node(1)]);
    let second = queue.request(&B, &node(1)).unwrap();
    assert_eq!(starts(&mut queue), []);
    assert_eq!(queue.finish(&node(1), true), [first, second]);
    assert_eq!(queue.finish(&node(1), true), []);
}

#[test]
fn joining_caller_lends_its_turn() {
    let mut queue = queue();
    for i in 0..50 {
        queue.request(&A, &node(i)).unwrap();
    }
    assert_eq!(starts(&mut queue).len(), 2);
    queue.request(&B, &node(49)).unwrap();
    assert_eq!(starts(&mut queue), [node(49)]);
}

#[test]
fn hanging_node_takes_no_slot() {
    let mut queue = queue();
    for i in 0..4 {
        queue.request(&A, &node(i)).unwrap();
    }
    assert_eq!(starts(&mut queue), [node(0), node(1)]);
    queue.park(&node(0));
    queue.park(&node(0));
    queue.park(&node(1));
    assert_eq!(starts(&mut queue), [node(2), node(3)]);
    queue.finish(&node(0), false);
    // The node is known to be slow, so the flight starts although both slots are taken.
    queue.request(&A, &node(0)).unwrap();
    assert_eq!(starts(&mut queue), [node(0)]);
    queue.finish(&node(0), true);
    queue.request(&A, &node(0)).unwrap();
    assert_eq!(starts(&mut queue), []);
}

#[test]
fn leaving_affects_own_wait_only() {
    let mut queue = queue();
    for i in 0..2 {
        queue.request(&A, &node(i)).unwrap();
    }
    assert_eq!(starts(&mut queue).len(), 2);
    let alone = queue.request(&A, &node(2)).unwrap();
    let shared = queue.request(&A, &node(3)).unwrap();
    let other = queue.request(&B, &node(3)).unwrap();
    queue.leave(&node(2), alone);
    queue.leave(&node(3), shared);
    queue.leave(&node(3), shared);
    assert_eq!(queue.queued(), 1);
    assert_eq!(starts(&mut queue), [node(3)]);
    assert_eq!(queue.finish(&node(3), true), [other]);
}

#[test]
fn excess_requests_are_refused() {
    let mut queue = queue();
    for _ in 0..128 {
        queue.request(&A, &node(1)).unwrap();
    }
    assert_eq!(queue.request(&A, &node(2)), Err(QueueFull));
    assert!(queue.request(&B, &node(2)).is_ok());
}

#[derive(Clone, Debug)]
enum Step {
    Request(u32, usize),
    Leave(usize),
    LeaveRunning(usize),
    Park(usize),
    Finish(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..5, 0usize..12).prop_map(|(p, n)| Step::Request(p, n)),
        1 => (0usize..64).prop_map(Step::Leave),
        1 => (0usize..64).prop_map(Step::LeaveRunning),
        1 => (0usize..16).prop_map(Step::Park),
        3 => (0usize..16).prop_map(Step::Finish),
    ]
}

proptest! {
    /// The caps hold, no node has two flights, no request is lost, what should go on does, and
    /// nothing is left at the end.
    #[test]
    fn no_schedule_breaks_caps(
        steps in proptest::collection::vec(step(), 0..400),
    ) {
        let mut queue = queue();
        let mut flying: Vec<NodeName> = Vec::new();
        let mut waiting: Vec<(NodeName, Ticket)> = Vec::new();
        let mut promised: HashSet<NodeName> = HashSet::new();
        for step in steps {
            match step {
                Step::Request(peer, n) => {
                    if let Ok(ticket) = queue.request(&PeerId::Uid(peer), &node(n)) {
                        waiting.push((node(n), ticket));
                    }
                }
                Step::Leave(i) if i < waiting.len() => {
                    let (node, ticket) = waiting.swap_remove(i);
                    queue.leave(&node, ticket);
                }
                Step::LeaveRunning(i) if i < waiting.len() => {
                    let (node, ticket) = waiting.swap_remove(i);
                    let is_flying = flying.contains(&node);
                    prop_assert!(queue.leave_running(&node, ticket) || !is_flying);
                    promised.insert(node);
                }
                Step::Park(i) if i < flying.len() => queue.park(&flying[i]),
                Step::Finish(i) if i < flying.len() => {
                    let node = flying.swap_remove(i);
                    promised.remove(&node);
                    let done = queue.finish(&node, i % 2 == 0);
                    waiting.retain(|(_, ticket)| !done.contains(ticket));
                }
                _ => {}
            }
            while let Some(node) = queue.start_next() {
                prop_assert!(!flying.contains(&node));
                flying.push(node);
            }
            prop_assert!(queue.running() <= 8);
            prop_assert!(queue.callers.values().all(|c| c.running <= 2));
        }
        while let Some(node) = flying.pop() {
            promised.remove(&node);
            let done = queue.finish(&node, true);
            waiting.retain(|(_, ticket)| !done.contains(ticket));
            flying.extend(std::iter::from_fn(|| queue.start_next()));
        }
        prop_assert!(waiting.is_empty() && promised.is_empty());
        prop_assert!(queue.flights.is_empty() && queue.callers.is_empty());
        prop_assert!(queue.turns.is_empty() && queue.running() == 0 && queue.queued() == 0);
    }
}
