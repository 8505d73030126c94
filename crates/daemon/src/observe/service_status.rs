//! The daemon's state in a sentence, as `systemctl status` shows it (`STATUS=`, `sd_notify(3)`).

use crate::node::{NodeFailure, Nodes};
use crate::observe::files::{FileProblem, WatchedFile};
use crate::observe::recorder::Health;
use pulse_forward::status::{Status as Forwarding, StreamStatus};

/// Names that are shown of each kind.
const MAX_NAMES: usize = 3;

/// The longest sentence in characters; systemd cuts nothing, but a terminal has lines.
const MAX_CHARS: usize = 400;

/// The sentence of a daemon that serves.
#[must_use]
pub(crate) fn serving(
    nodes: &Nodes,
    log: &Health,
    forwarding: Option<&Forwarding>,
    files: &[FileProblem],
) -> String {
    let mut parts = vec![readings(nodes)];
    // In whole, and before the nodes: who cannot connect is served no node.
    if let Some(lost) = files.iter().find(|one| one.file == WatchedFile::Socket) {
        parts.insert(0, lost.error.clone());
    }
    if !log.available {
        let reason = log.last_error.as_deref().unwrap_or("no record was written");
        // First: nothing else matters while every request is refused.
        parts.insert(
            0,
            format!("audit log unavailable, refusing every request: {reason}"),
        );
    }
    parts.extend(forwarding.into_iter().filter_map(problems));
    let others: Vec<&str> = files
        .iter()
        .filter(|one| one.file != WatchedFile::Socket)
        .map(|one| one.file.as_str())
        .collect();
    if !others.is_empty() {
        parts.push(format!("problems with files: {}", names(&others)));
    }
    let sentence = parts.join("; ");
    // An error may quote a file's name. One line is all that the message may have.
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    sentence.chars().map(printable).take(MAX_CHARS).collect()
}

fn readings(nodes: &Nodes) -> String {
    let (mut count, mut unread, mut failing) = (0, 0, Vec::new());
    for (name, handle) in nodes.all() {
        count += 1;
        match handle.last_outcome() {
            None => unread += 1,
            Some(Err(NodeFailure::Pending) | Ok(_)) => {}
            Some(Err(_)) => failing.push(name.as_str()),
        }
    }
    let mut text = match count {
        0 => "serving no nodes: nodes.d and allowed_nodes are empty".to_owned(),
        1 => "serving 1 node".to_owned(),
        count => format!("serving {count} nodes"),
    };
    if !failing.is_empty() {
        text += &format!(", {} failing: {}", failing.len(), names(&failing));
    }
    if unread > 0 {
        text += &format!(", {unread} not read yet");
    }
    text
}

/// The fault of forwarding, if there is one.
fn problems(forwarding: &Forwarding) -> Option<String> {
    let collectors = forwarding
        .streams
        .iter()
        .flat_map(|stream| &stream.collectors);
    let down: Vec<&str> = collectors
        .filter(|collector| collector.trouble().is_some())
        .map(|collector| collector.name.as_str())
        .collect();
    let lost: u64 = forwarding
        .streams
        .iter()
        .map(StreamStatus::lost_records)
        .fold(0, u64::saturating_add);
    let mut parts = Vec::new();
    if !down.is_empty() {
        parts.push(format!("no records to {}", names(&down)));
    }
    if lost > 0 {
        parts.push(format!("{lost} records lost"));
    }
    (!parts.is_empty()).then(|| format!("forwarding: {}", parts.join(", ")))
}

fn names(all: &[&str]) -> String {
    match all.split_at_checked(MAX_NAMES) {
        Some((first, rest @ [_, ..])) => format!("{} and {} more", first.join(", "), rest.len()),
        _ => all.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Stage;
    use crate::testing::{Fixture, SECOND, Step};
    use pulse_core::callers::peer::PeerId;
    use pulse_core::rpc::Retry;
    use pulse_forward::status::{CollectorState, CollectorStatus, LostRange, Trouble};

    fn healthy() -> Health {
        Health {
            available: true,
            ..Health::default()
        }
    }

    /// The sentence after each node was read once; those with a `b` in their name fail.
    async fn after_readings(names: &[&str], log: &Health) -> String {
        let config = format!("allowed_nodes = {names:?}");
        let fixture = Fixture::new(&config, |name| Step {
            after: SECOND,
            outcome: if name.as_str().contains('b') {
                Err(NodeFailure::TimedOut(Stage::Queued))
            } else {
                Ok(())
            },
        });
        let readings = &fixture.daemon.readings;
        let nodes = || readings.settings().nodes.clone();
        let before = serving(&nodes(), &healthy(), None, &[]);
        if !names.is_empty() {
            let unread = format!(", {} not read yet", names.len());
            assert!(before.ends_with(&unread), "{before}");
        }
        for name in names {
            let wait = crate::readings::Wait {
                until: tokio::time::Instant::now() + SECOND * 5,
                then: crate::readings::WhenLate::GiveUp,
            };
            let _ = readings
                .read(
                    &PeerId::Uid(7),
                    &crate::testing::name(name),
                    wait,
                    Retry::WhenDue,
                )
                .await;
        }
        serving(&nodes(), log, None, &[])
    }

    #[test]
    fn files_with_problems_are_named() {
        let problem = |file| FileProblem::new(file, "the socket was removed: restart");
        let said = |files: &[FileProblem]| serving(&Nodes::default(), &healthy(), None, files);
        let nodes = "serving no nodes: nodes.d and allowed_nodes are empty";
        assert_eq!(
            said(&[problem(WatchedFile::Hosts), problem(WatchedFile::SshKey)]),
            format!("{nodes}; problems with files: hosts, ssh_key")
        );
        assert_eq!(
            said(&[problem(WatchedFile::Socket)]),
            format!("the socket was removed: restart; {nodes}")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn failing_nodes_are_counted_and_named() {
        let said = after_readings(&["a", "b1", "c"], &healthy()).await;
        assert_eq!(said, "serving 3 nodes, 1 failing: b1");
        let said = after_readings(&["b1", "b2", "b3", "b4", "b5"], &healthy()).await;
        assert_eq!(said, "serving 5 nodes, 5 failing: b1, b2, b3 and 2 more");
        let said = after_readings(&["a"], &healthy()).await;
        assert_eq!(said, "serving 1 node");
        let said = after_readings(&[], &healthy()).await;
        assert_eq!(
            said,
            "serving no nodes: nodes.d and allowed_nodes are empty"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn unavailable_log_comes_first() {
        let full = Health {
            last_error: Some("No space left on device\n".into()),
            ..Health::default()
        };
        let said = after_readings(&["a"], &full).await;
        assert_eq!(
            said,
            "audit log unavailable, refusing every request: No space left on device ; serving 1 node"
        );
    }

    #[test]
    fn forwarding_is_named_when_it_fails() {
        let mut forwarding = Forwarding {
            streams: vec![StreamStatus {
                collectors: vec![CollectorStatus {
                    name: "logs.example".to_owned(),
                    ..CollectorStatus::default()
                }],
                ..StreamStatus::default()
            }],
            ..Forwarding::default()
        };
        assert_eq!(problems(&forwarding), None);
        forwarding.streams[0].lost = vec![LostRange { first: 6, last: 10 }];
        forwarding.streams[0].collectors[0].state = CollectorState::Down(Trouble {
            step: "tcp".to_owned(),
            error: "refused".to_owned(),
            remedy: "start it".to_owned(),
            since: 7,
        });
        assert_eq!(
            problems(&forwarding).as_deref(),
            Some("forwarding: no records to logs.example, 5 records lost")
        );
    }
}
