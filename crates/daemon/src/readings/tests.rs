use super::*;
use crate::node::Stage;
use crate::testing::{Fixture, SECOND, Step, name};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

const MS: Duration = Duration::from_millis(1);
const TWO_NODES: &str = "allowed_nodes = ['a', 'b']";

fn until(until: Instant) -> Wait {
    Wait {
        until,
        then: WhenLate::GiveUp,
    }
}

/// Asks for a node in a task of its own; the time is that of the answer.
fn ask(fixture: &Fixture, uid: u32, node: &str) -> JoinHandle<(Outcome, Duration)> {
    let (readings, node) = (Arc::clone(&fixture.daemon.readings), name(node));
    let started = Instant::now();
    tokio::spawn(async move {
        let wait = until(started + SECOND * 30);
        let outcome = readings
            .read(&PeerId::Uid(uid), &node, wait, Retry::WhenDue)
            .await;
        (outcome, started.elapsed())
    })
}

/// Lets every task run until it waits.
async fn settle() {
    tokio::time::sleep(MS).await;
}

#[tokio::test(start_paused = true)]
async fn callers_share_an_exchange() {
    let fixture = Fixture::new(TWO_NODES, |_| Step::succeeds_after(MS * 100));
    let asked: Vec<_> = (1..20).map(|uid| ask(&fixture, uid, "a")).collect();
    for one in asked {
        let (outcome, took) = one.await.unwrap();
        assert!(outcome.is_ok() && took == MS * 100, "{took:?}");
    }
    assert_eq!(fixture.script.asked(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn fresh_sample_asks_nobody() {
    let config = format!("{TWO_NODES}\ncache_ttl = '3s'");
    let fixture = Fixture::new(&config, |_| Step::succeeds_after(MS));
    for (wait, exchanges) in [(MS, 1), (MS * 2_900, 1), (MS * 200, 2)] {
        tokio::time::sleep(wait).await;
        assert!(ask(&fixture, 1, "a").await.unwrap().0.is_ok());
        assert_eq!(fixture.script.asked().len(), exchanges, "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_nodes_give_up_their_slots() {
    let config = "allowed_nodes = ['h1', 'h2', 'h3', 'a']";
    let fixture = Fixture::new(config, |node| {
        let hangs = node.as_str().starts_with('h');
        Step::succeeds_after(if hangs { SECOND * 99 } else { MS })
    });
    let hanging: Vec<_> = ["h1", "h2", "h3"].map(|node| ask(&fixture, 1, node)).into();
    settle().await;
    // A caller has two slots; both are given back when their exchanges are parked.
    let (outcome, took) = ask(&fixture, 1, "a").await.unwrap();
    assert!(outcome.is_ok());
    assert!(took < PARK_AFTER + MS * 10, "{took:?}");
    for one in hanging {
        let (outcome, took) = one.await.unwrap();
        assert!(matches!(outcome, Err(NodeFailure::TimedOut(_))));
        assert!(took <= SECOND * 30, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn caller_that_leaves_takes_its_wait_alone() {
    let fixture = Fixture::new(TWO_NODES, |_| Step::succeeds_after(SECOND));
    let (gone, stays) = (ask(&fixture, 1, "a"), ask(&fixture, 2, "a"));
    settle().await;
    gone.abort();
    assert!(stays.await.unwrap().0.is_ok());
    assert_eq!(fixture.script.asked(), ["a"]);
    // Its place among those who wait is free again.
    assert!(fixture.daemon.readings.exchanges().waiting.is_empty());
    assert_eq!(fixture.daemon.readings.exchanges().queue.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn deadline_ends_the_wait() {
    let fixture = Fixture::new(TWO_NODES, |_| Step::succeeds_after(SECOND * 5));
    let readings = Arc::clone(&fixture.daemon.readings);
    let started = Instant::now();
    let wait = until(started + SECOND * 2);
    let outcome = readings
        .read(&PeerId::Uid(1), &name("a"), wait, Retry::WhenDue)
        .await;
    assert!(matches!(outcome, Err(NodeFailure::TimedOut(_))));
    assert_eq!(started.elapsed(), SECOND * 2);
    // The exchange goes on, and its sample serves the next caller.
    assert!(ask(&fixture, 1, "a").await.unwrap().0.is_ok());
    assert_eq!(fixture.script.asked(), ["a"]);
}

/// Four nodes at 200 ms each and two slots: the last two are queued when the wait ends.
#[tokio::test(start_paused = true)]
async fn late_readings_go_on() {
    let config = "allowed_nodes = ['a', 'b', 'c', 'd']\ncache_ttl = '10s'";
    let fixture = Fixture::new(config, |_| Step::succeeds_after(MS * 200));
    let wait = Wait {
        until: Instant::now() + MS * 100,
        then: WhenLate::GoOn,
    };
    let asked = ["a", "b", "c", "d"].map(|node| {
        let readings = Arc::clone(&fixture.daemon.readings);
        tokio::spawn(async move {
            readings
                .read(&PeerId::Uid(1), &name(node), wait, Retry::WhenDue)
                .await
        })
    });
    for one in asked {
        assert!(matches!(one.await.unwrap(), Err(NodeFailure::Pending)));
    }
    assert_eq!(fixture.script.asked(), ["a", "b"]);
    tokio::time::sleep(SECOND).await;
    assert_eq!(fixture.script.asked(), ["a", "b", "c", "d"]);
    assert!(fixture.daemon.readings.exchanges().waiting.is_empty());
    for node in ["a", "b", "c", "d"] {
        assert!(ask(&fixture, 1, node).await.unwrap().0.is_ok());
    }
    assert_eq!(fixture.script.asked().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn full_queue_refuses_at_once() {
    let fixture = Fixture::new(TWO_NODES, |_| Step::succeeds_after(SECOND));
    let most = fixture.daemon.config().caps.waiting_per_peer;
    let asked: Vec<_> = (0..=most).map(|_| ask(&fixture, 1, "a")).collect();
    let other = ask(&fixture, 2, "a");
    let mut refused = 0;
    for one in asked {
        let (outcome, took) = one.await.unwrap();
        if matches!(outcome, Err(NodeFailure::QueueFull)) {
            assert_eq!(took, Duration::ZERO);
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    assert!(other.await.unwrap().0.is_ok(), "another caller has its own");
}

#[tokio::test(start_paused = true)]
async fn removed_node_has_no_gauges() {
    let fixture = Fixture::new(TWO_NODES, |_| Step::succeeds_after(MS));
    for node in ["a", "b"] {
        assert!(ask(&fixture, 1, node).await.unwrap().0.is_ok());
    }
    let gauges = |node: &str| {
        let text = fixture.daemon.metrics.encode();
        let of_node = format!("node=\"{node}\"");
        let lines = text.lines().filter(|line| line.contains(&of_node));
        lines
            .filter(|line| line.contains("omitted_sensors") || line.contains("sensor_chips"))
            .count()
    };
    assert_eq!([gauges("a"), gauges("b")], [5, 5]);
    let config = pulse_core::config::Config::parse("allowed_nodes = ['b']").unwrap();
    fixture.daemon.reload(config);
    assert_eq!([gauges("a"), gauges("b")], [0, 5]);
}

/// A reading that began under the old spelling ends after the reload.
#[tokio::test(start_paused = true)]
async fn respelled_node_has_one_set_of_gauges() {
    let fixture = Fixture::new(TWO_NODES, |_| Step::succeeds_after(SECOND));
    let waiting = ask(&fixture, 1, "a");
    settle().await;
    let config = pulse_core::config::Config::parse("allowed_nodes = ['A', 'b']").unwrap();
    fixture.daemon.reload(config);
    assert!(waiting.await.unwrap().0.is_ok());
    assert!(ask(&fixture, 1, "A").await.unwrap().0.is_ok());
    let text = fixture.daemon.metrics.encode();
    let has = |node: &str| text.contains(&format!("omitted_sensors{{node=\"{node}\"}}"));
    assert_eq!([has("a"), has("A")], [false, true], "{text}");
}

/// An alert on the gauge begins once, and ends with the failure.
#[tokio::test(start_paused = true)]
async fn node_fails_until_it_answers() {
    let is_down = Arc::new(AtomicBool::new(true));
    let fixture = Fixture::new(TWO_NODES, {
        let is_down = Arc::clone(&is_down);
        move |_| {
            if is_down.load(Ordering::Relaxed) {
                Step {
                    after: MS,
                    outcome: Err(NodeFailure::TimedOut(Stage::Queued)),
                }
            } else {
                Step::succeeds_after(MS)
            }
        }
    });
    let failing = || {
        fixture.daemon.readings.publish_failing();
        let text = fixture.daemon.metrics.encode();
        let sample = |node: &str| format!("node_failing{{node=\"{node}\"}} 1");
        ["a", "b"].map(|node| text.contains(&sample(node)))
    };
    assert_eq!(failing(), [false, false], "nobody has asked yet");
    assert!(ask(&fixture, 1, "a").await.unwrap().0.is_err());
    assert!(ask(&fixture, 1, "b").await.unwrap().0.is_err());
    assert_eq!(failing(), [true, true]);
    is_down.store(false, Ordering::Relaxed);
    assert!(ask(&fixture, 1, "b").await.unwrap().0.is_ok());
    assert_eq!(failing(), [true, false]);
    let config = pulse_core::config::Config::parse("allowed_nodes = ['b']").unwrap();
    fixture.daemon.reload(config);
    assert_eq!(failing(), [false, false]);
    let text = fixture.daemon.metrics.encode();
    assert!(!text.contains("node_failing{node=\"a\"}"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn removed_node_fails_its_callers() {
    let fixture = Fixture::new(TWO_NODES, |_| Step::succeeds_after(SECOND));
    let waiting = ask(&fixture, 1, "a");
    settle().await;
    let config = pulse_core::config::Config::parse("allowed_nodes = ['b']").unwrap();
    fixture.daemon.reload(config);
    assert!(ask(&fixture, 1, "a").await.unwrap().0.is_err());
    // What was under way is not cut off.
    let (outcome, took) = waiting.await.unwrap();
    assert!(outcome.is_ok(), "{:?}", outcome.err());
    assert_eq!(took, SECOND);
    // Its sensors are nobody's now.
    let text = fixture.daemon.metrics.encode();
    assert!(!text.contains("omitted_sensors{node=\"a\"}"), "{text}");
}
