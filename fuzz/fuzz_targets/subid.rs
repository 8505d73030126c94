//! A subordinate range has exactly the ids of its line, and never the invalid id -1.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::subid::SubordinateRanges;

fuzz_target!(|file: &[u8]| {
    let ranges = SubordinateRanges::parse(file);
    assert_eq!(ranges.find(u32::MAX), None);
    for range in ranges.as_slice() {
        assert!(!range.owner.is_empty() && range.count > 0);
        let last = range.start + (range.count - 1);
        assert!(range.contains(range.start) && range.contains(last));
        assert!(!range.contains(last + 1));
        assert!(range.start == 0 || !range.contains(range.start - 1));
        assert!(ranges.find(last).is_some());
    }
});
