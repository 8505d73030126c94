//! The daemon and rsyslog, each sending the same log to the same collector.

use super::{home_with_a_log, log_bytes};
use crate::process::tree_cpu;
use nix::sys::signal::Signal;
use pulse_e2e::certificates::{Authority, Validity, key_of};
use pulse_e2e::forwarding::{COLLECTOR, SENDER, collector, forward_to, install_credentials};
use pulse_e2e::rsyslog::{Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Daemon, Home, wait};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Figures of sending the log once.
pub(super) struct Transfer {
    /// Records a second, between the first and the last at the collector.
    pub(super) rate: f64,
    /// The sender's processor time per record, in microseconds.
    pub(super) cpu: f64,
}

/// A log, and the collector that gets it.
pub(super) struct LogAndCollector {
    authority: Authority,
    certificate: PathBuf,
    rsyslog: Rsyslog,
    home: Arc<Home>,
    records: u64,
}

impl LogAndCollector {
    pub(super) fn new(records: u64) -> Self {
        let authority = Authority::new();
        let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
        let certificate = authority.sign(SENDER, Validity::Good);
        let home = home_with_a_log(records);
        install_credentials(&home, &authority, &certificate);
        Self {
            authority,
            certificate,
            rsyslog,
            home,
            records,
        }
    }

    /// Sends the log with the daemon, from the first record.
    pub(super) fn by_the_daemon(&mut self) -> Transfer {
        let cursor = self.home.audit_state().join("forward-failover.cursor");
        // There is none before the first run.
        let _ = fs::remove_file(cursor);
        self.empty();
        let daemon = Daemon::start_in(&self.home, &forward_to(self.rsyslog.address()));
        self.rsyslog.restart();
        daemon.signal(Signal::SIGHUP);
        let sending = self.watch(daemon.pid());
        daemon.stop();
        sending
    }

    pub(super) fn by_rsyslog(&mut self) -> Transfer {
        self.empty();
        self.rsyslog.restart();
        // Bound, so that it runs while it is watched.
        let sender = Rsyslog::with_configuration(&self.sender(), None);
        self.watch(sender.pid())
    }

    /// Stops the collector and deletes the collected file.
    fn empty(&mut self) {
        self.rsyslog.stop(Signal::SIGTERM);
        let _ = fs::remove_file(self.rsyslog.file());
    }

    fn watch(&self, sender: u32) -> Transfer {
        // Each start of a daemon adds some records, which are not awaited.
        let all = log_bytes(&self.home) - 4096;
        let collected = || fs::metadata(self.rsyslog.file()).map_or(0, |file| file.len());
        // From the first records on: the start of a sender and its handshake are not its rate.
        wait::until("the first records", || collected() > 0);
        let (before, cpu, started) = (collected(), tree_cpu(&[sender]), Instant::now());
        while collected() < all {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "the sender is too slow"
            );
            sleep(Duration::from_millis(1));
        }
        let length = started.elapsed().as_secs_f64();
        // The records of the time that was measured, by their share of the bytes.
        let records = self.records as f64 * ((all - before) as f64 / all as f64);
        Transfer {
            rate: records / length,
            cpu: (tree_cpu(&[sender]) - cpu) * 1000.0 / records,
        }
    }

    /// rsyslog's configuration as a sender, with its default queues.
    fn sender(&self) -> String {
        let address = self.rsyslog.address();
        // imfile stores its position there.
        let work = self.home.unused_path("work");
        fs::create_dir(&work).unwrap();
        format!(
            r#"global(workDirectory="{work}" maxMessageSize="64k")
module(load="imfile")
module(load="omrelp" tls.tlslib="openssl")
template(name="message" type="string"
    string="<110>1 %timegenerated:::date-rfc3339% %HOSTNAME% pulse-sensor-proxy - audit - %msg%")
input(type="imfile" file="{log}*" tag="pulse-sensor-proxy" freshStartTail="off")
action(type="omrelp" target="{ip}" port="{port}" template="message" tls="on"
    tls.caCert="{ca}" tls.myCert="{certificate}" tls.myPrivKey="{key}"
    tls.authMode="name" tls.permittedPeer=["{COLLECTOR}"])
"#,
            work = work.display(),
            log = self.home.audit_log().display(),
            ip = address.ip(),
            port = address.port(),
            ca = self.authority.certificate().display(),
            certificate = self.certificate.display(),
            key = key_of(&self.certificate).display(),
        )
    }
}
