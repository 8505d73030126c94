//! Both sides of RELP over a wire that delays and cuts: every acknowledged message has arrived,
//! in order, and at the end all have. Injected bytes end the session or change nothing of that.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_relp::collector::{Collector, Received};
use pulse_relp::session::{Session, WINDOW};

fuzz_target!(|script: &[u8]| {
    let [window, script @ ..] = script else {
        return;
    };
    let window = usize::from(*window) % WINDOW + 1;
    let mut wire = Wire {
        is_honest: true,
        ..Wire::default()
    };
    let mut session = Session::start(window, &mut wire.to_collector);
    let mut collector = Collector::default();
    let mut tag = 0;
    let mut steps = script.iter();
    while let Some(step) = steps.next() {
        let count = usize::from(step >> 3);
        let outcome = match step & 7 {
            0 | 1 => {
                // Different texts and lengths, so that frames end at many places of the pieces.
                let message = format!("message {}", tag + 1);
                let message = &message.as_bytes()[..message.len().min(count + 1)];
                tag += u64::from(session.send(tag + 1, message, &mut wire.to_collector));
                Ok(())
            }
            2 | 3 => wire.carry_on(&mut collector, count),
            4 => {
                wire.acknowledge(count);
                Ok(())
            }
            5 => wire.carry_back(&mut session, count),
            // Injected bytes.
            direction => {
                let bytes: Vec<u8> = steps.by_ref().take(count).copied().collect();
                wire.is_honest &= bytes.is_empty();
                if direction == 6 {
                    wire.to_sender.extend(bytes);
                } else {
                    wire.to_collector.extend(bytes);
                }
                Ok(())
            }
        };
        assert!(session.in_flight() <= window);
        if outcome.is_err() {
            assert!(!wire.is_honest, "an honest session ended");
            return;
        }
        if let Some(acknowledged) = session.acknowledged() {
            assert!(acknowledged > wire.cursor && acknowledged <= tag);
            // Injected bytes may acknowledge messages that have not arrived.
            assert!(!wire.is_honest || acknowledged <= wire.arrived);
            wire.cursor = acknowledged;
        }
    }
    if wire.is_honest {
        // A lost message would make this endless, which libFuzzer reports as a timeout.
        while wire.cursor < tag || !session.is_open() {
            wire.carry_on(&mut collector, usize::MAX).expect("honest");
            wire.acknowledge(usize::MAX);
            wire.carry_back(&mut session, usize::MAX).expect("honest");
            wire.cursor = session.acknowledged().unwrap_or(wire.cursor);
        }
        assert_eq!((wire.cursor, wire.arrived), (tag, tag));
    }
});

#[derive(Default)]
struct Wire {
    to_collector: Vec<u8>,
    to_sender: Vec<u8>,
    /// Received messages that are not acknowledged yet.
    waiting: Vec<Received>,
    arrived: u64,
    cursor: u64,
    is_honest: bool,
}

/// The end of a session.
#[derive(Debug)]
struct Ended;

impl Wire {
    fn carry_on(&mut self, collector: &mut Collector, count: usize) -> Result<(), Ended> {
        let came = collector
            .receive(&front(&mut self.to_collector, count), &mut self.to_sender)
            .map_err(|_| Ended)?;
        self.arrived += came.len() as u64;
        self.waiting.extend(came);
        Ok(())
    }

    /// Acknowledges in any order: librelp keeps the order, others may not.
    fn acknowledge(&mut self, which: usize) {
        if which == usize::MAX {
            for message in self.waiting.drain(..) {
                Collector::acknowledge(message.number, &mut self.to_sender);
            }
        } else if !self.waiting.is_empty() {
            let message = self.waiting.swap_remove(which % self.waiting.len());
            Collector::acknowledge(message.number, &mut self.to_sender);
        }
    }

    fn carry_back(&mut self, session: &mut Session, count: usize) -> Result<(), Ended> {
        session
            .receive(&front(&mut self.to_sender, count))
            .map_err(|_| Ended)
    }
}

/// Removes up to `count` bytes from the beginning.
fn front(bytes: &mut Vec<u8>, count: usize) -> Vec<u8> {
    bytes.drain(..count.min(bytes.len())).collect()
}
