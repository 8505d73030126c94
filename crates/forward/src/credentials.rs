//! Certificates that may change while we run.
//!
//! The files are read whole for each connection, and looked at again while it lasts: a
//! renewed certificate is in use soon after it is there, without a restart.

use pulse_core::config::Forward;
use pulse_core::config::forward::Collector;
use pulse_relp::certificate::validity;
use pulse_relp::identity::{Contents, Files, Identity, IdentityError};
use pulse_trust::Refused;
use pulse_trust::paths::{CA, CERTIFICATE, KEY};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What three files looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look([Option<[i64; 6]>; 3]);

/// Where they are.
#[must_use]
pub fn files(forward: &Forward) -> Files {
    Files {
        ca: forward.credential("ca.pem"),
        certificate: forward.credential("certificate.pem"),
        key: forward.credential("key.pem"),
    }
}

/// Looks at them: when they differ from what they were, this does.
#[must_use]
pub fn look(files: &Files) -> Look {
    Look([&files.ca, &files.certificate, &files.key].map(|path| {
        let found = fs::metadata(path).ok()?;
        let inode = i64::try_from(found.ino()).unwrap_or(i64::MAX);
        let length = i64::try_from(found.len()).unwrap_or(i64::MAX);
        // The second time changes with owner and mode as well, and cannot be set back.
        Some([
            inode,
            length,
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        ])
    }))
}

/// The largest file that is read: a system's list of authorities has some 220 KiB.
const MAX_BYTES: usize = 1 << 20;

/// Reads them, for one collector. Whoever can change one of them chooses who the collector
/// is, or can pose as us; so that is refused, and so is a key that everybody can read.
///
/// # Errors
/// [`IdentityError`] names the file and what is wrong with it.
pub fn load(files: &Files, collector: &Collector) -> Result<Identity, IdentityError> {
    let read = |path: &Path, demand| {
        pulse_trust::read(path, demand, MAX_BYTES).map_err(|refused| match refused {
            Refused::Io(error) => IdentityError::Unreadable {
                path: path.to_owned(),
                reason: error.to_string(),
            },
            Refused::Untrusted(untrusted) => IdentityError::Untrusted(untrusted.to_string()),
        })
    };
    let contents = Contents::new(
        read(&files.ca, CA)?,
        read(&files.certificate, CERTIFICATE)?,
        read(&files.key, KEY)?,
    );
    Identity::parse(files, &contents, collector.pin)
}

/// When the first of ours ends, and when the first authority does: seconds since 1970.
#[must_use]
pub fn ends(identity: &Identity) -> (Option<i64>, Option<i64>) {
    let end = |der: &[u8]| validity(der).ok().map(|validity| validity.not_after);
    let authorities = identity.authorities.iter();
    (
        end(&identity.certificate),
        authorities.filter_map(|der| end(der)).min(),
    )
}
