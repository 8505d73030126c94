//! One collector for all scenarios, which only test that forwarding to it works.

use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{self, SENDER, install_credentials, is_queue_empty};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::rsyslog::{Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, wait};
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Prefixes of the rules that only forwarding needs.
const FORWARDING_RULES: [&str; 3] = ["writev", "Credentials", "setsockopt line"];

struct SharedCollector {
    authority: Authority,
    certificate: PathBuf,
    rsyslog: Rsyslog,
}

static SHARED: RwLock<Option<SharedCollector>> = RwLock::new(None);

fn shared() -> RwLockReadGuard<'static, Option<SharedCollector>> {
    SHARED.read().unwrap_or_else(PoisonError::into_inner)
}

/// Stops the collector when dropped.
pub(super) struct Running;

impl Running {
    /// Starts it, where rsyslog is installed.
    pub(super) fn start() -> Self {
        if !skipped(&[Need::Collector]) {
            let authority = Authority::new();
            let rsyslog = forwarding::collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
            *SHARED.write().unwrap() = Some(SharedCollector {
                certificate: authority.sign(SENDER, Validity::Good),
                authority,
                rsyslog,
            });
        }
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        SHARED
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

/// False for a rule that only forwarding needs, where there is no collector.
pub(super) fn is_tried(rule: &str) -> bool {
    shared().is_some() || !FORWARDING_RULES.iter().any(|its| rule.starts_with(its))
}

/// A configuration with the collector; also installs the certificates.
pub(super) fn forwarding(home: &Home) -> Config {
    let shared = shared();
    let Some(shared) = shared.as_ref() else {
        return Config::new();
    };
    install_credentials(home, &shared.authority, &shared.certificate);
    forwarding::forward_to(shared.rsyslog.address())
}

/// Waits until the collector has acknowledged every record.
pub(super) fn has_everything(daemon: &Daemon) {
    if shared().is_some() {
        wait::until("the collector to acknowledge all records", || {
            is_queue_empty(daemon)
        });
    }
}
