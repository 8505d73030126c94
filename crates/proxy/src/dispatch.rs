//! From a request line to its reply: parse, may it, which node, record, read,
//! record. What is decided here is decided by `core`; this carries it out.

use crate::daemon::Daemon;
use crate::node::{NodeFailure, Sample};
use pulse_core::event::{Decision, Event, EventType};
use pulse_core::limiter::Bucket;
use pulse_core::name::NodeName;
use pulse_core::peer::Peer;
use pulse_core::rpc::{Call, Envelope, Rejection, RpcError, response_line};
use serde::{Serialize, Serializer};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What goes back, and whether the connection goes on.
pub struct Reply {
    /// One line, its newline included.
    pub line: Vec<u8>,
    /// The caller asked to keep the connection.
    pub keep_alive: bool,
}

/// A request on its way: who asks, under which id, until when.
#[derive(Clone)]
struct Context {
    daemon: Arc<Daemon>,
    peer: Arc<Peer>,
    id: Arc<str>,
    deadline: Instant,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    Status {
        version: &'static str,
        public_key: String,
        ssh_dir: String,
        capabilities: Vec<&'static str>,
    },
    Temperature {
        node: NodeName,
        temperature: String,
    },
    Temperatures {
        nodes: Vec<Entry>,
    },
}

/// One node of `get_temperatures`.
#[derive(Serialize)]
struct Entry {
    node: String,
    #[serde(serialize_with = "document", skip_serializing_if = "Option::is_none")]
    temperature: Option<Arc<Sample>>,
    /// How old the sample is.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn document<S: Serializer>(sample: &Option<Arc<Sample>>, serializer: S) -> Result<S::Ok, S::Error> {
    sample
        .as_ref()
        .map(|sample| &sample.json)
        .serialize(serializer)
}

/// Answers a request line.
pub async fn answer(daemon: &Arc<Daemon>, peer: &Arc<Peer>, line: &[u8]) -> Reply {
    let started = Instant::now();
    let envelope = Envelope::parse(line);
    let given = envelope
        .as_ref()
        .ok()
        .and_then(|e| e.correlation_id.clone());
    let keep_alive = envelope.as_ref().is_ok_and(|e| e.keep_alive);
    let id: Arc<str> = given.unwrap_or_else(crate::random::correlation_id).into();
    let deadline = started + daemon.config().timeouts.request;
    let context = Context {
        daemon: Arc::clone(daemon),
        peer: Arc::clone(peer),
        id,
        deadline,
    };
    let (method, outcome) = match context.check_penalty().and(envelope) {
        Err(RpcError::RateLimited) => ("none", Err(RpcError::RateLimited)),
        Err(error) => ("invalid", Err(error)),
        Ok(envelope) => match envelope.method() {
            Err(error) => ("unknown", context.spend_own().and(Err(error))),
            Ok(method) => (method.as_str(), context.carry_out(&envelope).await),
        },
    };
    let result = outcome.as_ref().map_or_else(RpcError::label, |_| "success");
    daemon.metrics.rpc(method, result, started.elapsed());
    if let Err(error) = &outcome {
        context.punish(error).await;
    }
    Reply {
        line: response_line(context.id.to_string(), outcome.as_ref()),
        keep_alive,
    }
}

/// The line for a caller that is refused before it has asked anything.
#[must_use]
pub fn refusal(error: &RpcError) -> Vec<u8> {
    response_line::<()>(crate::random::correlation_id(), Err(error))
}

impl Context {
    async fn carry_out(&self, envelope: &Envelope) -> Result<Data, RpcError> {
        let method = envelope.method()?;
        if !self.peer.capabilities.has(method.needs()) {
            return Err(RpcError::Unauthorized);
        }
        match envelope.call()? {
            Call::Status => self.spend_own().map(|()| self.status()),
            Call::Temperature(node) => {
                let sample = self.read(&node).await?;
                Ok(Data::Temperature {
                    node,
                    temperature: sample.json.get().to_owned(),
                })
            }
            Call::Temperatures(nodes) => Ok(Data::Temperatures {
                nodes: self.read_all(nodes).await?,
            }),
        }
    }

    fn status(&self) -> Data {
        Data::Status {
            version: env!("CARGO_PKG_VERSION"),
            public_key: self.daemon.public_key.clone(),
            ssh_dir: self.daemon.config().ssh_dir.display().to_string(),
            capabilities: self.peer.capabilities.names().collect(),
        }
    }

    /// A caller may have connected before it earned its penalty.
    fn check_penalty(&self) -> Result<(), RpcError> {
        let now = std::time::Instant::now();
        let penalty = self.daemon.limiter().check_penalty(&self.peer.id, now);
        penalty.map_err(|refusal| {
            self.daemon.refused(&self.peer, refusal);
            RpcError::RateLimited
        })
    }

    /// Reads several nodes, each in its own time and from its own budget.
    async fn read_all(
        &self,
        nodes: Option<Vec<Result<NodeName, RpcError>>>,
    ) -> Result<Vec<Entry>, RpcError> {
        let nodes = nodes.unwrap_or_else(|| {
            let settings = self.daemon.readings.settings();
            settings.nodes.names().cloned().map(Ok).collect()
        });
        if !nodes.iter().any(Result::is_ok) {
            self.spend_own()?;
        }
        if let Some(Err(error)) = nodes.iter().find(|node| node.is_err()) {
            self.punish(error).await;
        }
        let mut entries: Vec<Option<Entry>> = nodes.iter().map(|_| None).collect();
        let mut tasks = JoinSet::new();
        for (i, node) in nodes.into_iter().enumerate() {
            match node {
                Ok(node) => {
                    let context = self.clone();
                    tasks.spawn(async move { (i, context.entry(&node).await) });
                }
                Err(error) => entries[i] = Some(Entry::invalid(&error)),
            }
        }
        while let Some(done) = tasks.join_next().await {
            if let Ok((i, entry)) = done {
                entries[i] = Some(entry);
            }
        }
        Ok(entries.into_iter().flatten().collect())
    }

    async fn entry(&self, node: &NodeName) -> Entry {
        match self.read(node).await {
            Ok(sample) => Entry::of(node, &sample),
            Err(RpcError::RateLimited) => {
                Entry::failed(node, &RpcError::NodeRateLimited { node: node.clone() })
            }
            Err(error) => Entry::failed(node, &error),
        }
    }

    /// One reading, from admission to its second record.
    async fn read(&self, node: &NodeName) -> Result<Arc<Sample>, RpcError> {
        self.admit(node).await?;
        let started = Instant::now();
        let start = Event {
            node: Some(node),
            ..self.event(EventType::CommandStart, Decision::Allowed)
        };
        self.record(start).await?;
        let outcome = self
            .daemon
            .readings
            .read(&self.peer.id, node, self.deadline)
            .await;
        self.record_outcome(node, &outcome, started).await?;
        outcome.map_err(|failure| match failure {
            NodeFailure::AddressNotPermitted => RpcError::Rejected {
                node: node.clone(),
                reason: Rejection::AddressNotPermitted,
            },
            failure => RpcError::Failed {
                node: node.clone(),
                failure: failure.to_string(),
            },
        })
    }

    /// Whether the node is on the list and the caller has a token for it.
    async fn admit(&self, node: &NodeName) -> Result<(), RpcError> {
        let settings = self.daemon.readings.settings();
        if settings.nodes.get(node).is_some() {
            return self.spend(Bucket::Node(node));
        }
        self.spend_own()?;
        let reason = match settings.nodes.is_empty() {
            true => Rejection::NoValidationSources,
            false => Rejection::NotAllowlisted,
        };
        self.daemon.metrics.node_refused(reason.as_str());
        let event = self.event(EventType::ValidationFailed, Decision::Denied);
        self.record(Event {
            node: Some(node),
            reason: Some(reason.as_str()),
            ..event
        })
        .await?;
        Err(RpcError::Rejected {
            node: node.clone(),
            reason,
        })
    }

    fn spend_own(&self) -> Result<(), RpcError> {
        self.spend(Bucket::Own)
    }

    fn spend(&self, bucket: Bucket<'_>) -> Result<(), RpcError> {
        let now = std::time::Instant::now();
        self.daemon
            .limiter()
            .spend(&self.peer.id, bucket, now)
            .map_err(|refusal| {
                self.daemon.refused(&self.peer, refusal);
                RpcError::RateLimited
            })
    }

    /// Penalises the caller for a malformed or forbidden request.
    async fn punish(&self, error: &RpcError) {
        if !error.is_penalised() {
            return;
        }
        if let RpcError::InvalidNodeName { .. } = error {
            self.daemon.metrics.node_refused(error.label());
        }
        self.daemon
            .limiter()
            .penalise(&self.peer.id, std::time::Instant::now());
        self.daemon.metrics.penalised(error.label(), &self.peer.id);
        let text = error.to_string();
        let event = self.event(EventType::ValidationFailed, Decision::Denied);
        // The request is refused either way; there is nothing left to stop.
        let _ = self
            .record(Event {
                reason: Some(error.label()),
                error: Some(&text),
                ..event
            })
            .await;
    }

    async fn record_outcome(
        &self,
        node: &NodeName,
        outcome: &Result<Arc<Sample>, NodeFailure>,
        started: Instant,
    ) -> Result<(), RpcError> {
        let text = outcome.as_ref().err().map(ToString::to_string);
        let (kind, decision) = match outcome {
            Ok(_) => (EventType::CommandFinish, Decision::Completed),
            Err(NodeFailure::AddressNotPermitted) => (EventType::EgressDenied, Decision::Denied),
            Err(failure) if failure.is_host_key() => (EventType::HostKeyMismatch, Decision::Failed),
            Err(_) => (EventType::CommandFinish, Decision::Failed),
        };
        self.record(Event {
            node: Some(node),
            exchange: outcome.as_ref().ok().map(|sample| &sample.exchange),
            reason: outcome.as_ref().err().map(NodeFailure::label),
            error: text.as_deref(),
            duration: Some(started.elapsed()),
            ..self.event(kind, decision)
        })
        .await
    }

    fn event(&self, kind: EventType, decision: Decision) -> Event<'_> {
        let event = Event::new(kind, decision);
        Event {
            correlation_id: Some(&self.id),
            peer: Some(&self.peer),
            ..event
        }
    }

    async fn record(&self, event: Event<'_>) -> Result<(), RpcError> {
        let recorded = self.daemon.recorder.record(event).await;
        recorded.map_err(|_| RpcError::RecorderUnavailable)
    }
}

impl Entry {
    fn of(node: &NodeName, sample: &Arc<Sample>) -> Self {
        let age = sample.taken.elapsed().as_millis();
        Self {
            node: node.to_string(),
            temperature: Some(Arc::clone(sample)),
            age_ms: Some(u64::try_from(age).unwrap_or(u64::MAX)),
            error: None,
        }
    }

    fn failed(node: &NodeName, error: &RpcError) -> Self {
        Self {
            node: node.to_string(),
            temperature: None,
            age_ms: None,
            error: Some(error.to_string()),
        }
    }

    fn invalid(error: &RpcError) -> Self {
        let node = match error {
            RpcError::InvalidNodeName { shown, .. } => shown.clone(),
            _ => String::new(),
        };
        Self {
            node,
            temperature: None,
            age_ms: None,
            error: Some(error.to_string()),
        }
    }
}
