//! Limits that all devices share, so that a tree of any size uses bounded memory and files.
//!
//! Devices are scanned independently of each other and more than once, so each takes permits and
//! returns them when what they stand for is dropped.

use pulse_sensors::document::MAX_FEATURES_IN_ALL;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of files that are kept open. The usual limit of a process is 1,024.
const OPEN_FILES: usize = 512;

/// The number of features of all devices: twice those of a document, which are chosen among them.
const FEATURES: usize = 2 * MAX_FEATURES_IN_ALL;

/// The number of permits that are left.
#[derive(Clone, Debug)]
pub(crate) struct Quota(Arc<AtomicUsize>);

/// A permit, which is returned when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Quota);

/// The limits of a reader.
#[derive(Clone, Debug)]
pub(crate) struct Quotas {
    /// Files that are kept open.
    pub(crate) open_files: Quota,
    /// Features that a scan found.
    pub(crate) features: Quota,
}

impl Quotas {
    /// All permits.
    pub(crate) fn full() -> Self {
        Self {
            open_files: Quota::new(OPEN_FILES),
            features: Quota::new(FEATURES),
        }
    }
}

impl Quota {
    pub(crate) fn new(permits: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(permits)))
    }

    /// A permit, if one is left.
    pub(crate) fn take(&self) -> Option<Permit> {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .ok()
            .map(|_| Permit(self.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_permit_is_returned() {
        let quota = Quota::new(2);
        let permits = [quota.take(), quota.take()];
        assert!(permits.iter().all(Option::is_some));
        assert!(quota.take().is_none());
        drop(permits);
        assert!(quota.take().is_some());
    }
}
