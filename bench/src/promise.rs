//! The promises of `SPECIFICATION.md`, once: the report checks them, and a test holds the page
//! to them.

/// A promised bound.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// The figure is at least this.
    AtLeast(f64),
    /// The figure is at most this.
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// One row of the specification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
}

macro_rules! promises {
    ($($name:ident: $what:literal, $bound:expr, $unit:literal;)*) => {
        $(pub(crate) const $name: Promise = Promise { what: $what, unit: $unit, bound: $bound };)*
        #[cfg(test)]
        const ALL: &[Promise] = &[$($name),*];
    };
}

promises! {
    HELPER_VS_SSH: "reading alone, node helper, vs `ssh` per reading", AtLeast(300.0), "times faster";
    HELPER_VS_MASTER: "reading alone, node helper, vs `ssh` over ControlMaster", AtLeast(18.0), "times faster";
    DURABLE_VS_SSH: "whole reading with durable records, vs `ssh` per reading", AtLeast(140.0), "times faster";
    DURABLE_VS_MASTER: "whole reading with durable records, vs `ssh` over ControlMaster", AtLeast(8.0), "times faster";
    EXEC_VS_MASTER: "reading alone, no helper, vs `ssh` over ControlMaster", AtLeast(2.0), "times faster";
    CPU_VS_MASTER: "CPU of reading alone, daemon and node, vs `ssh` over ControlMaster", AtLeast(20.0), "times less";
    HUNG_FIRST: "first reading of a node's helper, 3 of 20 devices hang", AtMost(1.1), "s";
    HUNG_LATER: "later readings of that helper", AtMost(5.0), "ms";
    SLOW_DISKS: "oldest temperature of 60 disks at 60 ms each, read every 2 s", AtMost(10.0), "s";
    STATUS: "`get_status`, a new connection each", AtMost(0.15), "ms";
    IDLE: "RSS idle, static build", AtMost(5.0), "MiB";
    CONNECTED: "RSS with 1,000 simulated nodes connected", AtMost(100.0), "MiB";
    POLLED: "CPU of 1,000 simulated nodes read every 10 s, with their records", AtMost(2.0), "% of a core";
    SWEEP: "reading alone, one sweep over 10,000 simulated nodes", AtMost(1.8), "s";
    SWEPT: "RSS with 10,000 simulated nodes, after sweeps", AtMost(1024.0), "MiB";
    AUDIT_RATE: "durable audit records/s, 64 callers, vs batch size times raw `fdatasync` rate", AtLeast(50.0), "%";
    AUDIT_WAIT: "latency of one durable record, vs one raw `fdatasync`", AtMost(1.5), "times";
    AUDIT_CPU: "CPU per audit record, encode and hash", AtMost(3.5), "µs";
    AUDIT_VERIFY: "verification of 1 GiB, chain and seals, vs `sha256sum`", AtLeast(70.0), "% of its speed";
    AUDIT_MEMORY: "RSS of that verification", AtMost(32.0), "MiB";
    CONFINED_START: "start of the daemon, confined by itself, vs not confined", AtMost(20.0), "ms more";
    CONFINED_READING: "reading alone, node helper, confined, vs not confined", AtMost(3.0), "% more";
    FLOOD_SERVED: "successful readings while two processes connect without a pause, vs while they spin", AtLeast(99.0), "%";
    FLOOD_MEDIAN: "median latency of those readings, vs while they spin", AtMost(2.0), "times";
    FLOOD_LOG: "growth of the log while two processes connect as 65,536 users", AtMost(10.0), "kB/s";
    FORWARD_RATE: "records forwarded with RELP over TLS, vs rsyslog's `omrelp` to the same collector", AtLeast(50.0), "% of its rate";
    FORWARD_CPU: "CPU per forwarded record, vs rsyslog's `imfile` and `omrelp`", AtMost(50.0), "% of its CPU";
    FORWARD_MEMORY: "RSS that forwarding adds, a million records behind", AtMost(8.0), "MiB";
    FORWARD_READING: "whole reading while a million records are forwarded, vs not", AtMost(5.0), "% more";
}

impl Promise {
    pub(crate) fn is_kept(&self, figure: f64) -> bool {
        match self.bound {
            AtLeast(bound) => figure >= bound,
            AtMost(bound) => figure <= bound,
        }
    }

    /// The bound and its unit, as a cell of the table.
    pub(crate) fn reach(&self) -> String {
        let unit = self.unit;
        match self.bound {
            AtLeast(bound) => format!("at least {bound} {unit}"),
            AtMost(bound) => format!("at most {bound} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specification_has_each() {
        let page = std::fs::read_to_string("../SPECIFICATION.md").unwrap();
        for promise in ALL {
            let row = format!("| {} | {} |", promise.what, promise.reach());
            assert!(page.contains(&row), "{row}");
        }
        let rows = page.lines().filter(|line| line.contains("| at "));
        assert_eq!(rows.count(), ALL.len());
    }
}
