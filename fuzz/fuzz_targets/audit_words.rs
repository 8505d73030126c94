//! Arguments that an operator gives about a log: a head, a key, a position. Each has one form,
//! or is equal to its printed form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::verify::Since;
use pulse_audit::{HeadLine, PublicKey, Timestamp};
use pulse_core::event::EventType;
use pulse_core::ordinal::Ordinal;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(head) = text.parse::<HeadLine>() {
        assert!((1..=Ordinal::MAX).contains(&head.head.seq) && head.epoch <= Ordinal::MAX);
        let printed = head.to_string();
        // Only the blanks between its parts may differ.
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words.join(" "), printed);
        assert_eq!(printed.parse(), Ok(head));
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Some(event) = EventType::from_name(&text) {
        assert_eq!(event.as_str(), text);
    }
    match text.parse::<Since>() {
        Ok(Since::Seq(seq)) => assert!(seq <= Ordinal::MAX && seq.to_string() == text),
        Ok(Since::Time(time)) => {
            let printed = time.to_string();
            assert_eq!(printed.parse(), Ok(Since::Time(time)));
            assert_eq!(Timestamp::parse(printed.as_bytes()), Some(time));
            // The argument is its prefix: what may be omitted is a part of its end.
            let given = text.trim_end_matches('Z').replacen(' ', "T", 1);
            assert!(printed.starts_with(&given), "{text} is {printed}");
        }
        Err(_) => (),
    }
});
