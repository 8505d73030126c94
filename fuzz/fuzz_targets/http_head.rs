//! An HTTP request head, in any pieces: one response, which later bytes do not change, and no
//! metrics for a web page that rebinds its name to our address.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::metrics::host_header::{HostName, HostNames};
use pulse_sensor_proxy::fuzzing::{HttpHead, http_head};
use std::net::IpAddr;

const LISTED: &str = "metrics.example";

fuzz_target!(|head: &[u8]| {
    let names: HostNames = HostName::parse(LISTED).into_iter().collect();
    let whole = http_head(head, &names);
    // In up to 33 pieces: the first result is final.
    let mut ends = (0..head.len())
        .step_by(head.len() / 32 + 1)
        .chain([head.len()]);
    let first = ends.find_map(|end| http_head(&head[..end], &names).map(|asked| (end, asked)));
    let Some((end, asked)) = first else {
        assert_eq!(whole, None);
        return;
    };
    assert_eq!(
        whole.as_ref(),
        Some(&asked),
        "later bytes changed the result"
    );
    let path: &[u8] = match asked {
        HttpHead::Metrics(_) => b"/metrics",
        HttpHead::Readiness => b"/ready",
        HttpHead::Refused(_) => return,
    };
    let head = &head[..end];
    // Empty lines before a request are ignored (RFC 9112, section 2.2).
    let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    let head = &head[start.unwrap_or(0)..];
    // A blank or a query follows: a longer path is another one.
    let rest = head.strip_prefix(b"GET ");
    let rest = rest.and_then(|rest| rest.strip_prefix(path));
    assert!(
        rest.is_some_and(|rest| matches!(rest.first(), Some(b' ' | b'?'))),
        "{head:?}"
    );
    let hosts: Vec<String> = head
        .split(|byte| *byte == b'\n')
        .skip(1)
        // The head ends with an empty line; a body may have any lines.
        .take_while(|line| !matches!(**line, [] | [b'\r']))
        .filter_map(|line| {
            let text = String::from_utf8_lossy(line);
            let (name, value) = text.split_once(':')?;
            let is_host = name.eq_ignore_ascii_case("host");
            is_host.then(|| value.trim().to_owned())
        })
        .collect();
    // HTTP/1.0 needs none. Of several, a proxy may use another one than the server.
    assert!(
        hosts.len() <= 1 && hosts.iter().all(|host| is_ours(host)),
        "{hosts:?}"
    );
});

/// An address, `localhost` or the listed name, with or without a port.
fn is_ours(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    // IPv6 has brackets in a URL (RFC 3986, section 3.2.2), a name may have a final dot.
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let lower = name.trim_end_matches('.').to_ascii_lowercase();
    bare.parse::<IpAddr>().is_ok() || lower == "localhost" || lower == LISTED || lower.is_empty()
}
