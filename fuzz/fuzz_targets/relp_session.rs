//! Any bytes of a collector, in any pieces: nothing is acknowledged that was not sent, memory is
//! bounded, and the session continues or ends with an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_relp::collector::Collector;
use pulse_relp::frame::{Decoder, encode};
use pulse_relp::session::Session;

const WELCOME: &[u8] = b"1 rsp 22 200 OK\ncommands=syslog\n";
const WINDOW: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(64);
    // The rest, which the decoder has no room for, is not fed: the sessions below do that.
    let _ = decoder.feed(bytes);
    while let Ok(Some(frame)) = decoder.frame() {
        // A frame that was read is written as one that is read as the same.
        let mut again = Vec::new();
        encode(&mut again, frame.number, frame.command, &frame.data);
        let mut second = Decoder::new(64);
        assert!(second.feed(&again).is_empty());
        let second = second.frame().expect("it was written").expect("whole");
        assert_eq!((second.number, &second.data), (frame.number, &frame.data));
    }
    // The same bytes as a sender's.
    let _ = Collector::default().receive(bytes, &mut Vec::new());
    session(Session::start(WINDOW, &mut Vec::new()), bytes);
    // And in an open session, which random bytes would hardly open.
    let mut open = Session::start(WINDOW, &mut Vec::new());
    open.receive(WELCOME).expect("it is what a collector says");
    session(open, bytes);
});

/// Sends as much as the window permits, and receives the bytes in pieces.
fn session(mut session: Session, bytes: &[u8]) {
    let (mut tag, mut cursor) = (0, 0);
    for piece in bytes.chunks(7) {
        let mut out = Vec::new();
        while session.send(tag + 1, b"m", &mut out) {
            tag += 1;
        }
        assert!(session.in_flight() <= WINDOW && out.len() < 32 * WINDOW);
        // Acknowledgements before an error stay valid, so they are checked first.
        let outcome = session.receive(piece);
        if let Some(acknowledged) = session.acknowledged() {
            assert!(cursor < acknowledged && acknowledged <= tag);
            cursor = acknowledged;
        }
        if outcome.is_err() {
            return;
        }
    }
}
