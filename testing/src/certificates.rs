//! Certificates for collectors and senders, made by the `openssl` program.

use crate::programs;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A CA and the certificates that it signed; its files are removed when it is dropped.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
}

/// Validity period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Valid now, for 30 days.
    Good,
    /// Expired.
    Expired,
    /// Not valid yet.
    Future,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes a CA with a fresh key.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("pulse-ca-")
            .tempdir()
            .unwrap();
        let authority = Self { directory };
        openssl(
            authority.directory.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 60 \
             -keyout ca.key -out ca.pem",
            &["-subj", "/CN=Test CA"],
        );
        authority.write("index.txt", "");
        authority.write("serial", "01\n");
        authority.write(
            // Extensions are copied from the request, where the alternative name is.
            "ca.cnf",
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n\
             certificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\npolicy=p\ndefault_days=60\n\
             unique_subject=no\ncopy_extensions=copy\n[p]\ncommonName=supplied\n",
        );
        authority
    }

    /// The CA's own certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Signs a certificate for this name. Returns its file; the key is in the file of
    /// [`key_of`].
    #[must_use]
    pub fn sign(&self, name: &str, validity: Validity) -> PathBuf {
        let stem = format!(
            "{name}-{}",
            fs::read_to_string(self.path("serial")).unwrap().trim()
        );
        let [key, request, certificate] =
            ["key", "csr", "pem"].map(|extension| format!("{stem}.{extension}"));
        openssl(
            self.directory.path(),
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            &[
                "-subj",
                &format!("/CN={name}"),
                "-addext",
                &format!("subjectAltName=DNS:{name}"),
                "-keyout",
                &key,
                "-out",
                &request,
            ],
        );
        let mut words = vec!["-in", &request, "-out", &certificate];
        let dates = match validity {
            Validity::Good => None,
            Validity::Expired => Some(["20200101000000Z", "20200102000000Z"]),
            Validity::Future => Some(["20900101000000Z", "20900102000000Z"]),
        };
        if let Some([from, until]) = dates {
            words.extend(["-startdate", from, "-enddate", until]);
        }
        openssl(
            self.directory.path(),
            "ca -batch -notext -config ca.cnf",
            &words,
        );
        self.path(&certificate)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

/// The key file of a certificate that an [`Authority`] signed.
#[must_use]
pub fn key_of(certificate: &Path) -> PathBuf {
    certificate.with_extension("key")
}

/// Overwrites a certificate and its key with another certificate and its key.
pub fn replace_certificate(certificate: &Path, other: &Path) {
    for (from, to) in [
        (other.to_owned(), certificate.to_owned()),
        (key_of(other), key_of(certificate)),
    ] {
        fs::copy(from, to).unwrap();
    }
}

/// Runs openssl with the words of a line, and more that may have blanks.
fn openssl(directory: &Path, line: &str, more: &[&str]) {
    let output = Command::new(programs::find("openssl").unwrap())
        .current_dir(directory)
        .args(line.split(' '))
        .args(more)
        .output()
        .unwrap();
    programs::assert_success(format_args!("openssl {line} {more:?}"), &output);
}
