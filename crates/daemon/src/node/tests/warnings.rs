//! Nodes that are read and warned of.

use super::*;

#[tokio::test(start_paused = true)]
async fn missing_forced_command_is_on_record() {
    let any = || {
        Planned::Runs(KeyScope::AnyCommand {
            user: "u".to_owned(),
        })
    };
    let fixture = Fixture::new([
        any(),
        any(),
        Planned::Runs(KeyScope::Unknown),
        any(),
        Planned::Runs(KeyScope::ForcedCommand),
        any(),
    ]);
    let record = "forced_command.missing allowed no_forced_command";
    // Once, until it was found to be in force.
    for expected in [1, 1, 1, 1, 1, 2] {
        fixture.read().await.unwrap();
        assert_eq!(fixture.records.lines(), vec![record; expected]);
    }
    assert!(fixture.handle.key_warning().is_some());
    fixture.read().await.unwrap();
    assert_eq!(fixture.handle.key_warning(), None);
}

#[tokio::test(start_paused = true)]
async fn wrong_clock_is_warned_of_once() {
    let log = CapturedLog::start();
    let offsets = [0, 3600, 3601, 55, 0, 90];
    let fixture = Fixture::new(offsets.map(Planned::IsAhead));
    let warned = || {
        let lines = log.lines();
        let warnings = lines.iter().filter(|line| line.contains("ahead of"));
        warnings.count()
    };
    let mut found = Vec::new();
    for _ in offsets {
        fixture.read().await.unwrap();
        found.push((warned(), fixture.handle.clock_warning().is_some()));
    }
    let expected = [
        (0, false),
        (1, true),
        (1, true),
        (1, true),
        (1, false),
        (2, true),
    ];
    assert_eq!(found, expected);
    // A document without the time says nothing of the clock.
    fixture.read().await.unwrap();
    assert_eq!(fixture.handle.clock_warning(), None);
    let lines = log.lines();
    let agreements = lines.iter().filter(|line| line.contains("agrees"));
    assert_eq!(agreements.count(), 1, "{lines:?}");
}

/// The warning stays as long as its cause is not known to be gone.
#[tokio::test(start_paused = true)]
async fn key_warning_outlives_connections() {
    let any = || {
        Planned::Runs(KeyScope::AnyCommand {
            user: "u".to_owned(),
        })
    };
    let unknown = || Planned::Runs(KeyScope::Unknown);
    let fixture = Fixture::new([
        any(),
        Planned::ReadingFails(NodeFailure::TimedOut(Stage::Queued)),
        unknown(),
        any(),
        unknown(),
        Planned::Runs(KeyScope::ForcedCommand),
    ]);
    let warns = || fixture.handle.key_warning().is_some();
    fixture.read().await.unwrap();
    assert!(fixture.read().await.is_err());
    assert!(warns());
    sleep(fixture.retry_in()).await;
    fixture.read().await.unwrap();
    assert_eq!((fixture.opened(), warns()), (2, true));
    // The host key is withdrawn, which takes the sample too.
    fixture.pins.send_replace(pinned(""));
    sleep(SECOND).await;
    fixture.pins.send_replace(pinned(PIN));
    fixture.read().await.unwrap();
    fixture.read().await.unwrap();
    assert_eq!((fixture.opened(), warns()), (3, true));
    fixture.read().await.unwrap();
    assert!(!warns());
    assert_eq!(fixture.records.lines().len(), 2, "with the host key's");
}

#[tokio::test(start_paused = true)]
async fn other_key_ends_the_key_warning() {
    let scope = KeyScope::AnyCommand {
        user: "u".to_owned(),
    };
    let fixture = Fixture::new([
        Planned::Runs(scope),
        Planned::ReadingFails(NodeFailure::TimedOut(Stage::Queued)),
        Planned::Runs(KeyScope::Unknown),
    ]);
    fixture.read().await.unwrap();
    fixture.key.send_replace(login_key(2));
    assert!(fixture.read().await.is_err());
    assert!(fixture.handle.key_warning().is_some());
    fixture.read().await.unwrap();
    assert_eq!(fixture.handle.key_warning(), None);
}
