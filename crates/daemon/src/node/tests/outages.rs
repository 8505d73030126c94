//! The attempts at a node that fails.

use super::*;

#[tokio::test(start_paused = true)]
async fn failures_lengthen_the_wait() {
    let plan = vec![Planned::NotOpened(NodeFailure::TimedOut(Stage::Queued)); 9];
    let fixture = Fixture::new(plan);
    let mut waits = Vec::new();
    for _ in 0..9 {
        assert!(fixture.read().await.is_err());
        waits.push(fixture.retry_in());
    }
    assert!(waits[0] <= SECOND && waits[8] >= SECOND * 45, "{waits:?}");
    assert!(waits[8] <= SECOND * 60, "{waits:?}");
    // One success forgives all.
    fixture.read().await.unwrap();
    assert!(fixture.handle.blocked(Retry::WhenDue).is_none());
}

#[tokio::test(start_paused = true)]
async fn resets_are_retried_as_an_outage() {
    let reset = || {
        let error = io::Error::from_raw_os_error(nix::libc::ECONNRESET);
        NodeFailure::from(russh::Error::IO(error))
    };
    let fixture = Fixture::new(vec![Planned::NotOpened(reset()); 9]);
    for _ in 0..9 {
        assert!(fixture.read().await.is_err());
        assert!(fixture.retry_in() <= SECOND * 2);
    }
    // After the login: each attempt costs the node another one.
    let fixture = Fixture::new(vec![Planned::ReadingFails(reset().after_login()); 9]);
    for _ in 0..9 {
        assert!(fixture.read().await.is_err());
    }
    assert!(fixture.retry_in() >= SECOND * 45);
    assert_eq!(fixture.opened(), 9);
}

#[tokio::test(start_paused = true)]
async fn helper_that_died_is_started_again() {
    let fixture = Fixture::new([
        Planned::ReadingTakes(SECOND),
        Planned::ReadingFails(NodeFailure::HelperEnded {
            end: CommandEnd::Exit(1),
            stderr: String::new(),
            fault: CommandFault::Failed,
        }),
    ]);
    for _ in 0..2 {
        fixture.read().await.unwrap();
    }
    assert_eq!(fixture.opened(), 2);
}

/// The node's packets are dropped for a minute, while a caller polls as Pulse does.
#[tokio::test(start_paused = true)]
async fn outage_ends_within_seconds() {
    const POLL_INTERVAL: Duration = Duration::from_secs(2);
    // Its end at any moment of the attempts and of the waits between them.
    for tenths in 0..100 {
        let fixture = Fixture::new([]);
        fixture.read().await.unwrap();
        let end = Instant::now() + SECOND * 60 + SECOND / 10 * tenths;
        *fixture.node.dropped_until.lock().unwrap() = Some(end);
        let mut failures = 0;
        loop {
            let polled = Instant::now();
            if fixture.handle.blocked(Retry::WhenDue).is_none() {
                let outcome = fixture.read().await;
                if Instant::now() >= end && outcome.is_ok() {
                    break;
                }
                assert!(outcome.is_err());
                failures += 1;
            }
            sleep_until(polled + POLL_INTERVAL).await;
        }
        assert!(end.elapsed() <= SECOND * 5, "{tenths}: {:?}", end.elapsed());
        assert!((8..20).contains(&failures), "{failures}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_key_is_left_alone_for_ten_minutes() {
    let fixture = Fixture::new([Planned::NotOpened(key_refused())]);
    assert!(fixture.read().await.is_err());
    assert!(fixture.retry_in() >= SECOND * 600);
    let error = fixture.handle.blocked(Retry::WhenDue).unwrap().to_string();
    assert!(
        error.ends_with("or now with \"pulse-sensorctl temps --retry\""),
        "{error}"
    );
    assert!(fixture.handle.blocked(Retry::Now).is_none());
}

/// No loop of retries or of changes to a file goes beyond what sshd's penalties permit.
#[tokio::test(start_paused = true)]
async fn early_attempts_are_bounded() {
    for retry in [Retry::Now, Retry::WhenDue] {
        let fixture = Fixture::new(vec![Planned::NotOpened(key_refused()); 20]);
        let started = Instant::now();
        while started.elapsed() < SECOND * 60 {
            fixture.key.send_replace(login_key(2));
            match fixture.handle.blocked(retry) {
                None => assert!(fixture.read().await.is_err()),
                Some(failure) => assert!(
                    failure
                        .to_string()
                        .contains("; that was just now: ask again in "),
                    "{failure}"
                ),
            }
            sleep(SECOND / 10).await;
        }
        let opened = fixture.opened();
        assert!(
            (12..=14).contains(&opened),
            "{opened}: two, then one in 5 s"
        );
    }
}
