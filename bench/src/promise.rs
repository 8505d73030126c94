//! The promises of `SPECIFICATION.md`, which the report checks.

/// A promised bound.
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
    "reading without records, node helper, vs one ssh per reading",
    "times faster",
    Bound::AtLeast(600.0),
);
pub(crate) const HELPER_VS_MASTER: Promise = promise(
    "reading without records, node helper, vs ssh over ControlMaster",
    "times faster",
    Bound::AtLeast(30.0),
);
pub(crate) const DURABLE_VS_SSH: Promise = promise(
    "reading with durable records, vs one ssh per reading",
    "times faster",
    Bound::AtLeast(250.0),
);
pub(crate) const DURABLE_VS_MASTER: Promise = promise(
    "reading with durable records, vs ssh over ControlMaster",
    "times faster",
    Bound::AtLeast(12.0),
);
pub(crate) const EXEC_VS_MASTER: Promise = promise(
    "reading without records, no node helper, vs ssh over ControlMaster",
    "times faster",
    Bound::AtLeast(2.0),
);
pub(crate) const CPU_VS_MASTER: Promise = promise(
    "CPU of a reading without records, daemon and node, vs ssh over ControlMaster",
    "times less",
    Bound::AtLeast(30.0),
);
pub(crate) const STATUS: Promise =
    promise("get_status, on a new connection", "ms", Bound::AtMost(0.1));
pub(crate) const IDLE: Promise = promise("RSS of an idle daemon", "MiB", Bound::AtMost(5.0));
pub(crate) const CONNECTED: Promise = promise(
    "RSS with 1,000 nodes connected",
    "MiB",
    Bound::AtMost(100.0),
);
pub(crate) const POLLED: Promise = promise(
    "CPU of reading 1,000 nodes every 10 s, with durable records",
    "% of a core",
    Bound::AtMost(2.0),
);
pub(crate) const SWEEP: Promise = promise(
    "reading 10,000 nodes in one request, without records",
    "s",
    Bound::AtMost(1.0),
);
pub(crate) const SWEPT: Promise = promise(
    "RSS after reading 10,000 nodes",
    "MiB",
    Bound::AtMost(1024.0),
);
pub(crate) const AUDIT_RATE: Promise = promise(
    "durable audit records/s, 64 callers, vs batch size times raw fdatasync rate",
    "%",
    Bound::AtLeast(60.0),
);
pub(crate) const AUDIT_WAIT: Promise = promise(
    "one caller's wait for a durable record, vs one raw fdatasync",
    "times",
    Bound::AtMost(1.5),
);
pub(crate) const AUDIT_CPU: Promise = promise(
    "CPU per audit record, to encode and hash it",
    "us",
    Bound::AtMost(3.0),
);
pub(crate) const AUDIT_VERIFY: Promise = promise(
    "verification of a log of 1 GiB, chain and seals, vs sha256sum",
    "% of its speed",
    Bound::AtLeast(70.0),
);
pub(crate) const AUDIT_MEMORY: Promise = promise(
    "memory of verifying a log of 1 GiB",
    "MiB",
    Bound::AtMost(32.0),
);

pub(crate) const CONFINED_START: Promise = promise(
    "start of the daemon with confinement, vs without",
    "ms more",
    Bound::AtMost(20.0),
);
pub(crate) const CONFINED_READING: Promise = promise(
    "reading without records, node helper, with confinement, vs without",
    "% more",
    Bound::AtMost(3.0),
);

pub(crate) const FLOOD_SERVED: Promise = promise(
    "readings that succeed while two processes connect without a pause, vs while they only use the CPU",
    "%",
    Bound::AtLeast(99.0),
);
pub(crate) const FLOOD_MEDIAN: Promise = promise(
    "median of these readings, vs while the processes only use the CPU",
    "times",
    Bound::AtMost(2.0),
);
pub(crate) const FLOOD_LOG: Promise = promise(
    "growth of the log while two processes connect as 65,536 users",
    "kB/s",
    Bound::AtMost(10.0),
);

pub(crate) const FORWARD_RATE: Promise = promise(
    "records/s forwarded with RELP over TLS, vs rsyslog's omrelp",
    "% of its rate",
    Bound::AtLeast(50.0),
);
pub(crate) const FORWARD_CPU: Promise = promise(
    "CPU per forwarded record, vs rsyslog's imfile and omrelp",
    "% of its CPU",
    Bound::AtMost(50.0),
);
pub(crate) const FORWARD_MEMORY: Promise = promise(
    "memory of forwarding a backlog of a million records",
    "MiB",
    Bound::AtMost(8.0),
);
pub(crate) const FORWARD_READING: Promise = promise(
    "reading with durable records while a million records are forwarded, vs not",
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

    pub(crate) fn bound_text(&self) -> String {
        match self.bound {
            Bound::AtLeast(bound) => format!("at least {bound}"),
            Bound::AtMost(bound) => format!("at most {bound}"),
        }
    }
}
