//! A pin has exactly two text forms, and both parse as the same pin.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::pin::Pin;

fuzz_target!(|text: &str| {
    let Ok(pin) = text.parse::<Pin>() else {
        return;
    };
    let shown = pin.to_string();
    assert_eq!(shown.parse(), Ok(pin));
    let digits: String = pin.0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digits.parse(), Ok(pin));
    assert!(
        text == shown || text.eq_ignore_ascii_case(&digits),
        "{text:?} is {shown}"
    );
});
