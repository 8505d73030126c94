//! What the daemon's unit tests share: nodes that answer by script, and a recorder that
//! keeps the records in memory. Time is the runtime's, which the tests pause.

use crate::node::{
    KeyScope, NodeFailure, NodeHandle, NodeInbox, NodeStarter, NodeTaskSettings, Sample,
    SensorCounts, SharedHistory, Stage,
};
use crate::observe::files::FileProblem;
use crate::observe::recorder::{
    Accepting, Health, Incident, OnDisk, Recorder, Recording, RecordingFailed, Retention,
};
use crate::state::{Daemon, Parts};
use pulse_core::callers::capability::Capabilities;
use pulse_core::callers::peer::{Credentials, Peer, PeerId};
use pulse_core::config::Config;
use pulse_core::event::{Event, EventType, Exchange};
use pulse_core::nodes::name::NodeName;
use pulse_sensors::command::NodeCommand;
use pulse_sensors::document::Dropped;
use pulse_trust::Check;
use serde_json::value::RawValue;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

pub(crate) fn peer(uid: u32, capabilities: Capabilities) -> Arc<Peer> {
    Arc::new(Peer {
        credentials: Credentials {
            uid,
            gid: uid,
            pid: 1,
        },
        id: PeerId::Uid(uid),
        container: None,
        capabilities,
    })
}

pub(crate) fn sample() -> Sample {
    Sample {
        json: RawValue::from_string("{\"chip\":{}}".to_owned()).unwrap(),
        taken: Instant::now(),
        address: "192.0.2.1:22".parse().unwrap(),
        exchange: Exchange {
            address: "192.0.2.1:22".to_owned(),
            host_key: "SHA256:x".to_owned(),
            command: NodeCommand::Serve,
            exit_code: None,
            stdout_sha256: [0; 32],
            stdout_bytes: 11,
        },
        dropped: Dropped::default(),
        sensors: SensorCounts::default(),
        key_scope: KeyScope::ForcedCommand,
        clock: None,
    }
}

/// A node's answer to one request.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) after: Duration,
    pub(crate) outcome: Result<(), NodeFailure>,
}

impl Step {
    pub(crate) fn succeeds_after(after: Duration) -> Self {
        Self {
            after,
            outcome: Ok(()),
        }
    }
}

/// Nodes that all answer by one script.
#[derive(Clone)]
pub(crate) struct Script {
    step: Arc<dyn Fn(&NodeName) -> Step + Send + Sync>,
    asked: Arc<Mutex<Vec<String>>>,
    records: Records,
}

impl Script {
    pub(crate) fn new(
        records: &Records,
        step: impl Fn(&NodeName) -> Step + Send + Sync + 'static,
    ) -> Self {
        Self {
            step: Arc::new(step),
            asked: Arc::default(),
            records: records.clone(),
        }
    }

    /// The nodes that were asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn answer(self, node: NodeName, mut inbox: NodeInbox) {
        while let Some(request) = inbox.requests.recv().await {
            self.asked.lock().unwrap().push(node.to_string());
            self.records.push("asked");
            let Step { after, outcome } = (self.step)(&node);
            let slept = timeout_at(request.deadline, sleep(after)).await;
            let outcome = slept.map_or(Err(NodeFailure::TimedOut(Stage::Queued)), |()| outcome);
            let answer = outcome.map(|()| Arc::new(sample()));
            inbox.status.send_modify(|status| {
                status.sample = answer.as_ref().ok().cloned();
                status.last = Some(answer.as_ref().map(drop).map_err(Clone::clone));
            });
            let _ = request.answer.send(answer);
        }
    }
}

impl NodeStarter for Script {
    fn start(&self, name: &NodeName, _: &NodeTaskSettings, _: &SharedHistory) -> NodeHandle {
        let (handle, inbox) = NodeHandle::new();
        tokio::spawn(self.clone().answer(name.clone(), inbox));
        handle
    }

    fn check_files(&self, _: Check) {}

    fn file_problems(&self) -> Vec<FileProblem> {
        Vec::new()
    }

    fn public_key(&self) -> String {
        "key".to_owned()
    }
}

/// A recorder in memory. What the scripted nodes are asked stands among the records.
#[derive(Clone, Default)]
pub(crate) struct Records(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lines: Mutex<Vec<String>>,
    fails_at: Mutex<Option<EventType>>,
    unavailable: AtomicBool,
}

impl Records {
    /// Each as `type decision reason`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lines.lock().unwrap().clone()
    }

    /// From now on no record of this type can be written.
    pub(crate) fn fail_at(&self, event_type: EventType) {
        *self.0.fails_at.lock().unwrap() = Some(event_type);
    }

    /// From now on no record can be written, and that is known.
    pub(crate) fn become_unavailable(&self) {
        self.0.unavailable.store(true, Ordering::Relaxed);
    }

    fn push(&self, line: &str) {
        self.0.lines.lock().unwrap().push(line.to_owned());
    }
}

impl Recorder for Records {
    fn record<'a>(&'a self, event: &'a Event<'a>) -> Recording<'a> {
        Box::pin(async move {
            let fails_at = *self.0.fails_at.lock().unwrap();
            if fails_at == Some(event.members().event_type) {
                return Err(RecordingFailed);
            }
            // A record takes its time: whoever does not wait for it is found out.
            sleep(Duration::from_millis(1)).await;
            self.note(event);
            Ok(())
        })
    }

    fn note(&self, event: &Event<'_>) {
        let members = event.members();
        let texts = [
            members.event_type.as_str(),
            members.decision.as_str(),
            members.reason.unwrap_or_default(),
        ];
        self.push(texts.join(" ").trim_end());
    }

    fn health(&self) -> Health {
        Health {
            available: self.is_available(),
            ..Health::default()
        }
    }

    fn is_available(&self) -> bool {
        !self.0.unavailable.load(Ordering::Relaxed)
    }

    fn tell(&self, _: Box<dyn Fn(OnDisk) + Send + Sync>) {}

    fn retain(&self, _: Retention) {}

    fn reopen(&self) {}

    fn accept_loss(&self, by: String) -> Accepting<'_> {
        self.push(&format!("loss accepted by {by}"));
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn observe(&self, _: Box<dyn Fn() + Send + Sync>) {}

    fn take_incidents(&self) -> Vec<Incident> {
        Vec::new()
    }

    fn stop(&self) {}
}

/// The messages that this thread logs while this lives.
pub(crate) struct CapturedLog {
    bytes: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

/// A writer of the messages.
struct ToBytes(Arc<Mutex<Vec<u8>>>);

impl io::Write for ToBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl CapturedLog {
    pub(crate) fn start() -> Self {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = Arc::clone(&bytes);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || ToBytes(Arc::clone(&writer)))
            .finish();
        Self {
            bytes,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// Each with its level in front.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

/// A daemon with scripted nodes, without sockets.
pub(crate) struct Fixture {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) script: Script,
    pub(crate) records: Records,
    /// Turns true when the daemon ends.
    pub(crate) drain: watch::Sender<bool>,
}

impl Fixture {
    /// `config` is the text of a configuration file.
    pub(crate) fn new(
        config: &str,
        step: impl Fn(&NodeName) -> Step + Send + Sync + 'static,
    ) -> Self {
        let records = Records::default();
        let script = Script::new(&records, step);
        let parts = Parts {
            recorder: Arc::new(records.clone()),
            forwarder: None,
            max_files: u64::MAX,
        };
        let config = Config::parse(config).unwrap();
        let starter = Box::new(script.clone());
        Self {
            daemon: Arc::new(Daemon::new(config, starter, parts)),
            script,
            records,
            drain: watch::channel(false).0,
        }
    }
}
