//! The messages in the log.

use super::*;

/// The journal shows the sentence alone.
#[tokio::test(start_paused = true)]
async fn log_names_node_and_address() {
    let log = CapturedLog::start();
    let refused = NodeFailure::KeyRefused {
        user: "pulse".to_owned(),
    };
    let unreachable = NodeFailure::Unreachable {
        address: "192.0.2.1:22".parse().unwrap(),
        error: ConnectError::Refused,
    };
    let fixture = Fixture::new([
        Planned::NotOpened(refused),
        Planned::NotOpened(unreachable),
        Planned::NotOpened(NodeFailure::TimedOut(Stage::Queued)),
        Planned::Runs(KeyScope::ForcedCommand),
        Planned::Runs(KeyScope::AnyCommand {
            user: "pulse".to_owned(),
        }),
        Planned::Runs(KeyScope::ForcedCommand),
    ]);
    for _ in 0..3 {
        assert!(fixture.read().await.is_err());
    }
    fixture.read().await.unwrap();
    // A shell, and then a forced command again.
    for _ in 0..2 {
        fixture.read().await.unwrap();
    }
    // The connection becomes idle; another one loses its host key.
    sleep(SECOND * 601).await;
    fixture.read().await.unwrap();
    fixture.pins.send_replace(pinned(""));
    sleep(SECOND).await;
    let lines = log.lines();
    for sentence in [
        "refused our SSH key",
        "cannot be reached at",
        "did not answer in time",
        "answers again",
        "runs any command",
        "runs the forced command alone",
        "connected, host key",
        "connection closed: idle",
        "no longer accepted",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(sentence)),
            "{sentence} is not in {lines:#?}"
        );
    }
    for line in lines {
        assert!(line.contains("node \"node\""), "{line}");
        assert_eq!(line.matches("192.0.2.1:22").count(), 1, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn log_has_the_attempts_address() {
    let log = CapturedLog::start();
    let fixture = Fixture::new([Planned::ReadingTakes(SECOND * 99)]);
    let (outcome, ()) = tokio::join!(fixture.read(), async {
        sleep(SECOND).await;
        *fixture.node.address.lock().unwrap() = "192.0.2.7:22".parse().unwrap();
    });
    assert!(outcome.is_err());
    let lines = log.lines();
    let line = lines.iter().find(|line| line.contains("did not answer"));
    assert!(line.unwrap().contains("192.0.2.1:22"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn exhaustion_is_logged_with_its_remedy() {
    for exhaustion in [Exhaustion::Process, Exhaustion::System, Exhaustion::Memory] {
        let log = CapturedLog::start();
        let failure = NodeFailure::Exhausted(exhaustion);
        let fixture = Fixture::new([Planned::NotOpened(failure)]);
        let failure = fixture.read().await.unwrap_err();
        assert_eq!(failure.to_string(), format!("not read: {exhaustion}"));
        let sentence = format!("{exhaustion}: {}", exhaustion.remedy());
        let lines = log.lines();
        assert!(
            lines.iter().any(|line| line.contains(&sentence)),
            "{lines:?}"
        );
    }
}
