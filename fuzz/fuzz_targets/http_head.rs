//! What stands before an empty line, in whatever pieces: one answer, which does not change
//! with what comes behind, and metrics for nobody who did not ask for them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_sensor_proxy::fuzzing::http_head;

fuzz_target!(|head: &[u8]| {
    let whole = http_head(head);
    // As it comes, in some dozen pieces: the first answer stands.
    let mut ends = (0..head.len())
        .step_by(head.len() / 32 + 1)
        .chain([head.len()]);
    let first = ends.find_map(|end| http_head(&head[..end]).map(|asked| (end, asked)));
    let Some((end, asked)) = first else {
        assert_eq!(whole, None);
        return;
    };
    assert_eq!(whole, Some(asked), "more of it changed the answer");
    match asked {
        "metrics" => assert!(asks_for(&head[..end], b"/metrics"), "{head:?}"),
        "readiness" => assert!(asks_for(&head[..end], b"/ready"), "{head:?}"),
        _ => (),
    }
});

/// Whether it begins with `GET PATH`, after which a word ends.
fn asks_for(head: &[u8], path: &[u8]) -> bool {
    let blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = head.iter().position(|byte| !blank(byte)).unwrap_or(0);
    let rest = head[start..].strip_prefix(b"GET ");
    let rest = rest.and_then(|rest| rest.strip_prefix(path));
    rest.is_some_and(|rest| matches!(rest.first(), Some(b' ' | b'?' | b'\r' | b'\n')))
}
