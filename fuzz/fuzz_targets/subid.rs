//! The ids of every range are found in one that contains them, and the invalid id in none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::callers::subid::SubordinateRanges;

fuzz_target!(|file: &[u8]| {
    let ranges = SubordinateRanges::parse(file);
    assert_eq!(ranges.find(u32::MAX), None);
    for range in ranges.as_slice() {
        assert!(!range.owner.is_empty() && range.count > 0);
        // Within 32 bits: the sum would overflow otherwise, which is a panic in this build.
        let last = range.start + (range.count - 1);
        // Ranges may overlap, so another one may be found: one that contains the id as well.
        for id in [range.start, last] {
            let found = ranges.find(id).expect("the id is in a range");
            assert!((found.start..=found.start + (found.count - 1)).contains(&id));
        }
    }
});
