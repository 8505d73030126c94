//! Readings while two processes connect and close as often as they can, beside readings
//! while the same two only use the processor.

use crate::Effort;
use crate::measure::milliseconds;
use crate::report::{Report, rounded};
use pulse_e2e::Config;
use pulse_e2e::flood::{Attack, Flood, FullBacklog, Polled};
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
    let count = u32::try_from(effort.samples / TURNS).unwrap();
    let attacks = [
        ("spin", Attack::Spin),
        (
            "connect",
            Attack::Connect {
                first: STRANGER,
                count: 1,
            },
        ),
    ];
    let mut kinds: [Polled; 2] = Default::default();
    let mut connections = 0;
    // In turns, so that both have the machine as it is at the time.
    for _ in 0..TURNS {
        for (polled, (_, attack)) in kinds.iter_mut().zip(attacks) {
            let flood = Flood::start(&program, &socket, attack);
            std::thread::sleep(Duration::from_millis(500));
            let more = Polled::readings(&socket, "pve1", count, INTERVAL, FullBacklog::GiveUp);
            connections += flood.stop();
            polled.times.extend(more.times);
            polled.failures.extend(more.failures);
        }
    }
    for (polled, (attack, _)) in kinds.iter().zip(attacks) {
        report.note(format!(
            "two processes that {attack}: {} readings served, {} found no place in the backlog, \
             median {} ms",
            polled.times.len(),
            polled.failures.len(),
            rounded(milliseconds(polled.median())),
        ));
    }
    report.note(format!("{connections} connections were made meanwhile"));
}
