//! One collector for every play: what it has is of no interest here, only that the way
//! to it is open.

use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{self, SENDER, equip, is_done};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::rsyslog::{Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, wait};
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// A rule that is there for it alone, by how its name begins.
const ITS_RULES: [&str; 3] = ["writev", "Credentials", "setsockopt line"];

struct Site {
    authority: Authority,
    certificate: PathBuf,
    rsyslog: Rsyslog,
}

static SITE: RwLock<Option<Site>> = RwLock::new(None);

fn site() -> RwLockReadGuard<'static, Option<Site>> {
    SITE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps it for as long as it lives.
pub(super) struct Kept;

impl Kept {
    /// Starts it, where there is one.
    pub(super) fn start() -> Self {
        if !skipped(&[Need::Collector]) {
            let authority = Authority::new();
            let input = Input::Relp(TlsLibrary::OpenSsl);
            let rsyslog = forwarding::collector(&authority, input);
            *SITE.write().unwrap() = Some(Site {
                certificate: authority.sign(SENDER, Validity::Good),
                authority,
                rsyslog,
            });
        }
        Self
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        SITE.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Whether the rule can be missed on this machine.
pub(super) fn is_tried(rule: &str) -> bool {
    site().is_some() || !ITS_RULES.iter().any(|its| rule.starts_with(its))
}

/// A configuration with the collector, and the certificates for it.
pub(super) fn forwarding(home: &Home) -> Config {
    let site = site();
    let Some(site) = site.as_ref() else {
        return Config::new();
    };
    equip(home, &site.authority, &site.certificate);
    forwarding::to(site.rsyslog.address())
}

/// Waits until everything is there.
pub(super) fn has_everything(daemon: &Daemon) {
    if site().is_some() {
        wait::until("the collector to have everything", || is_done(daemon));
    }
}
