//! Files of this host, as the cause of a failure.

use super::*;

/// A change of a local file.
type Change<'a> = &'a dyn Fn(&Fixture);

/// A change of the file that was the cause ends the delay, and of no other.
#[tokio::test(start_paused = true)]
async fn changed_file_ends_the_delay() {
    let pins = |fixture: &Fixture| drop(fixture.pins.send_replace(pinned(PIN)));
    let key = |fixture: &Fixture| drop(fixture.key.send_replace(login_key(2)));
    let host_key = || Planned::NotOpened(NodeFailure::NoHostKey);
    let refused = || Planned::NotOpened(key_refused());
    for (planned, cause, other) in [
        (
            Planned::KeyNotAccepted,
            &pins as Change<'_>,
            &key as Change<'_>,
        ),
        (host_key(), &pins, &key),
        (refused(), &key, &pins),
    ] {
        let fixture = Fixture::new([planned]);
        assert!(fixture.read().await.is_err());
        assert!(fixture.retry_in() >= SECOND * 600);
        other(&fixture);
        assert!(fixture.retry_in() >= SECOND * 600);
        cause(&fixture);
        assert!(fixture.handle.blocked(Retry::WhenDue).is_none());
        fixture.read().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn change_lifts_one_delay() {
    let twice = [Planned::KeyNotAccepted, Planned::KeyNotAccepted];
    let fixture = Fixture::new(twice);
    assert!(fixture.read().await.is_err());
    fixture.pins.send_replace(pinned(""));
    sleep(SECOND).await;
    assert!(fixture.read().await.is_err());
    // The pins of this attempt are the changed ones.
    sleep(SECOND).await;
    assert!(fixture.retry_in() >= SECOND * 590);
}

#[tokio::test(start_paused = true)]
async fn local_failure_has_no_delay() {
    let unreadable = || NodeFailure::KnownHosts("x".into());
    let exhausted = || NodeFailure::Exhausted(Exhaustion::Process);
    let failures = [
        unreadable(),
        NodeFailure::NoAddress,
        exhausted(),
        exhausted(),
    ];
    let fixture = Fixture::new(failures.map(Planned::NotOpened));
    for _ in 0..4 {
        assert!(fixture.read().await.is_err());
        assert!(fixture.handle.blocked(Retry::WhenDue).is_none());
    }
    fixture.read().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn local_failure_keeps_the_wait() {
    let fixture = Fixture::new([
        Planned::NotOpened(key_refused()),
        Planned::NotOpened(key_refused()),
        Planned::NotOpened(NodeFailure::KnownHosts("x".into())),
        Planned::NotOpened(NodeFailure::Exhausted(Exhaustion::Process)),
    ]);
    // As for `--retry`, which does not ask for the wait.
    for _ in 0..4 {
        assert!(fixture.read().await.is_err());
    }
    assert!(fixture.retry_in() >= SECOND * 600);
    // Nor does it permit more early attempts.
    let early = fixture.handle.blocked(Retry::Now);
    assert!(
        matches!(early, Some(NodeFailure::TriedJustNow { .. })),
        "{early:?}"
    );
    fixture.read().await.unwrap();
    assert!(fixture.handle.blocked(Retry::WhenDue).is_none());
}
