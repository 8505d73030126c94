//! One collector for every play: what it has is of no interest here, only that the way
//! to it is open.

use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{self, SENDER, equip, is_done};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::rsyslog::{Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, wait};
use std::path::PathBuf;
use std::sync::OnceLock;

/// A rule that is there for it alone, by how its name begins.
const ITS_RULES: [&str; 3] = ["writev", "Credentials", "setsockopt line"];

struct Site {
    authority: Authority,
    certificate: PathBuf,
    rsyslog: Rsyslog,
}

fn site() -> Option<&'static Site> {
    static SITE: OnceLock<Option<Site>> = OnceLock::new();
    let site = SITE.get_or_init(|| {
        if skipped(&[Need::Collector]) {
            return None;
        }
        let authority = Authority::new();
        let input = Input::Relp(TlsLibrary::OpenSsl);
        let rsyslog = forwarding::collector(&authority, input);
        Some(Site {
            certificate: authority.sign(SENDER, Validity::Good),
            authority,
            rsyslog,
        })
    });
    site.as_ref()
}

/// Whether the rule can be missed on this machine.
pub(super) fn is_tried(rule: &str) -> bool {
    site().is_some() || !ITS_RULES.iter().any(|its| rule.starts_with(its))
}

/// A configuration with the collector, and the certificates for it.
pub(super) fn forwarding(home: &Home) -> Config {
    let Some(site) = site() else {
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
