//! Readings while two processes connect and close as often as they can, beside readings
//! while the same two only use the processor.

use crate::Effort;
use crate::measure::milliseconds;
use crate::report::{Report, rounded};
use pulse_e2e::Config;
use pulse_e2e::flood::{Attack, Flood, Polled, WORD};
use pulse_e2e::sim::{self, Fleet};
use std::time::Duration;

const TURNS: usize = 4;
const INTERVAL: Duration = Duration::from_millis(50);
/// A user without a capability.
const STRANGER: u32 = 61_001;

pub(crate) fn measure(effort: Effort, report: &mut Report) {
    report.step("readings while two processes connect without a pause");
    let fleet = Fleet::start(
        Config::new().set("log_level", "'warn'"),
        [("pve1", sim::well())],
    );
    let socket = fleet.daemon.home().socket();
    let program = std::env::current_exe().unwrap();
    let _ = WORD;
    let count = u32::try_from(effort.samples / TURNS).unwrap();
    let mut kinds: [Polled; 2] = Default::default();
    let attacks = [
        Attack::Spin,
        Attack::Connect {
            first: STRANGER,
            count: 1,
        },
    ];
    let mut conns = 0;
    for _ in 0..TURNS {
        for (polled, attack) in kinds.iter_mut().zip(attacks) {
            let flood = Flood::start(&program, &socket, attack);
            std::thread::sleep(Duration::from_millis(500));
            let more = Polled::readings(&socket, "pve1", count, INTERVAL);
            conns += flood.stop();
            polled.times.extend(more.times);
            polled.failures.extend(more.failures);
        }
    }
    for (p, w) in kinds.iter().zip(["spin", "connect"]) {
        let mut t = p.times.clone();
        t.sort_unstable();
        report.note(format!(
            "{w}: ok {} fail {} median {} ms p99 {} max {}",
            p.times.len(),
            p.failures.len(),
            rounded(milliseconds(p.median())),
            rounded(milliseconds(t[t.len() * 99 / 100])),
            rounded(milliseconds(t[t.len() - 1]))
        ));
        report.note(format!("{:?}", p.failures.first()));
    }
    report.note(format!("connections {conns}"));
}
