//! The certificates and key, which may be renewed at run time.
//!
//! The files are read for each connection and checked while it is open, so a renewed
//! certificate is used within seconds, without a restart. After a failure each connection, and each
//! check while one is open, reads them again.

use pulse_core::config::Forward;
use pulse_core::config::forward::Collector;
use pulse_relp::certificate::validity;
use pulse_relp::identity::{Contents, Files, Identity, IdentityError};
use pulse_trust::paths::{CA, CERTIFICATE, KEY};
use pulse_trust::{Refused, Version};
use std::path::Path;

/// The versions of the three files; `None` for one that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([Option<Version>; 3]);

/// The paths of the files.
pub(crate) fn files(forward: &Forward) -> Files {
    Files {
        ca: forward.credential("ca.pem"),
        certificate: forward.credential("certificate.pem"),
        key: forward.credential("key.pem"),
    }
}

/// The current versions of the files. They differ whenever a file was changed, or the owner or mode
/// of a directory that decides whether it is trusted.
pub(crate) fn fingerprint(files: &Files) -> Fingerprint {
    Fingerprint([&files.ca, &files.certificate, &files.key].map(|path| Version::at(path).ok()))
}

/// The largest file that is read. A system's CA bundle has about 220 KiB.
const MAX_BYTES: usize = 1 << 20;

/// Reads the files, for one collector. A user who can change one of them could impersonate
/// the collector or this daemon; so such files are refused, and so is a key that others can
/// read.
pub(crate) fn load(files: &Files, collector: &Collector) -> Result<Identity, IdentityError> {
    let read = |path: &Path, demand| {
        pulse_trust::read(path, demand, MAX_BYTES).map_err(|refused| match refused {
            Refused::Io(source) => IdentityError::Unreadable {
                path: path.to_owned(),
                source,
            },
            Refused::Untrusted(untrusted) => IdentityError::Untrusted(untrusted),
        })
    };
    let contents = Contents::new(
        read(&files.ca, CA)?,
        read(&files.certificate, CERTIFICATE)?,
        read(&files.key, KEY)?,
    );
    Identity::parse(files, &contents, collector.pin)
}

/// The expiry of the client certificate, and of the CA that expires first, in seconds since 1970.
#[must_use]
pub fn expiry(identity: &Identity) -> (Option<i64>, Option<i64>) {
    let end = |der: &[u8]| validity(der).ok().map(|validity| validity.not_after);
    (
        end(&identity.certificate),
        identity.authorities.iter().filter_map(|der| end(der)).min(),
    )
}
