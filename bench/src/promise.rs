//! The promises, each once: what `SPECIFICATION.md` lists and the report checks.

/// A number that is promised, and in which direction it may be missed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// The figure is at least this.
    AtLeast(f64),
    /// The figure is at most this.
    AtMost(f64),
}

/// One row of the specification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
}

const fn promise(what: &'static str, unit: &'static str, bound: Bound) -> Promise {
    Promise { what, unit, bound }
}

pub(crate) const HELPER_VS_SSH: Promise = promise(
    "reading alone, node helper, vs ssh per reading",
    "times faster",
    Bound::AtLeast(600.0),
);
pub(crate) const HELPER_VS_MASTER: Promise = promise(
    "reading alone, node helper, vs ssh over ControlMaster",
    "times faster",
    Bound::AtLeast(30.0),
);
pub(crate) const DURABLE_VS_SSH: Promise = promise(
    "a whole reading with durable records, vs ssh per reading",
    "times faster",
    Bound::AtLeast(250.0),
);
pub(crate) const DURABLE_VS_MASTER: Promise = promise(
    "a whole reading with durable records, vs ssh over ControlMaster",
    "times faster",
    Bound::AtLeast(12.0),
);
pub(crate) const EXEC_VS_MASTER: Promise = promise(
    "reading alone, no helper, vs ssh over ControlMaster",
    "times faster",
    Bound::AtLeast(2.0),
);
pub(crate) const CPU_VS_MASTER: Promise = promise(
    "CPU of reading alone, daemon and node, vs ControlMaster",
    "times less",
    Bound::AtLeast(30.0),
);
pub(crate) const STATUS: Promise = promise(
    "get_status, a new connection each",
    "ms",
    Bound::AtMost(0.1),
);
pub(crate) const IDLE: Promise = promise("RSS idle", "MiB", Bound::AtMost(5.0));
pub(crate) const CONNECTED: Promise = promise(
    "RSS with 1,000 nodes connected",
    "MiB",
    Bound::AtMost(100.0),
);
pub(crate) const POLLED: Promise = promise(
    "1,000 nodes read every 10 s",
    "% of a core",
    Bound::AtMost(2.0),
);
pub(crate) const SWEEP: Promise = promise(
    "reading alone, one sweep over 10,000 nodes",
    "s",
    Bound::AtMost(1.0),
);
pub(crate) const SWEPT: Promise = promise(
    "RSS with 10,000 nodes, after sweeps",
    "MiB",
    Bound::AtMost(1024.0),
);
pub(crate) const AUDIT_RATE: Promise = promise(
    "audit records/s, 64 callers, vs batch size x raw fdatasync rate",
    "%",
    Bound::AtLeast(60.0),
);
pub(crate) const AUDIT_WAIT: Promise = promise(
    "one caller's wait for its record, vs one raw fdatasync",
    "times",
    Bound::AtMost(1.5),
);
pub(crate) const AUDIT_CPU: Promise = promise(
    "CPU per audit record, encode and hash",
    "us",
    Bound::AtMost(3.0),
);
pub(crate) const AUDIT_VERIFY: Promise = promise(
    "verification of 1 GiB, chain and seals, vs sha256sum",
    "% of its speed",
    Bound::AtLeast(70.0),
);
pub(crate) const AUDIT_MEMORY: Promise =
    promise("memory of that verification", "MiB", Bound::AtMost(32.0));

pub(crate) const CONFINED_START: Promise = promise(
    "start of the daemon, confined, vs not confined",
    "ms more",
    Bound::AtMost(20.0),
);
pub(crate) const CONFINED_READING: Promise = promise(
    "reading alone, node helper, confined, vs not confined",
    "% more",
    Bound::AtMost(3.0),
);

pub(crate) const FLOOD_SERVED: Promise = promise(
    "readings that succeed while two processes connect, vs while they spin",
    "%",
    Bound::AtLeast(99.0),
);
pub(crate) const FLOOD_MEDIAN: Promise = promise(
    "their median, vs while two processes spin",
    "times",
    Bound::AtMost(2.0),
);
pub(crate) const FLOOD_LOG: Promise = promise(
    "growth of the log while 65,536 users connect",
    "kB/s",
    Bound::AtMost(10.0),
);

pub(crate) const FORWARD_RATE: Promise = promise(
    "records forwarded with RELP over TLS, vs rsyslog's omrelp",
    "% of its rate",
    Bound::AtLeast(50.0),
);
pub(crate) const FORWARD_CPU: Promise = promise(
    "CPU per forwarded record, vs rsyslog's imfile and omrelp",
    "% of its CPU",
    Bound::AtMost(50.0),
);
pub(crate) const FORWARD_MEMORY: Promise = promise(
    "memory of forwarding, a million records behind",
    "MiB",
    Bound::AtMost(8.0),
);
pub(crate) const FORWARD_READING: Promise = promise(
    "a whole reading while a million records are forwarded, vs not",
    "% more",
    Bound::AtMost(5.0),
);

impl Promise {
    pub(crate) fn is_kept(&self, figure: f64) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => figure >= bound,
            Bound::AtMost(bound) => figure <= bound,
        }
    }

    pub(crate) fn reach(&self) -> String {
        match self.bound {
            Bound::AtLeast(bound) => format!("at least {bound}"),
            Bound::AtMost(bound) => format!("at most {bound}"),
        }
    }
}
