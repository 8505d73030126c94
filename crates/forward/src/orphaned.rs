//! Losses of streams that are not configured any more: a collector was renamed or removed, or
//! the mode was changed. No status shows them, and no operator can accept them.

use crate::loss::Loss;
use crate::status::{Status, StreamStatus};
use std::path::Path;

/// Files that are looked at. Each was a stream once, so there are a few.
const MAX_FILES: usize = 64;

/// Logs the losses in the state directory `directory` of streams other than `configured`.
pub(crate) fn report(directory: &Path, log_id: &str, configured: &[StreamStatus]) {
    if let Some(lost) = losses(directory, log_id, configured) {
        tracing::warn!(
            "records are lost to streams that are not configured any more ({lost}): to replay them or to accept \
             their loss, configure the streams again; otherwise remove the files `forward-*.lost` of the streams in {}",
            directory.display()
        );
    }
}

/// The losses in the state directory `directory` of streams other than `configured`, as in
/// [`Status::lost_through`]. Files that cannot be read, or are of another log, are left out.
fn losses(directory: &Path, log_id: &str, configured: &[StreamStatus]) -> Option<String> {
    let mut streams: Vec<StreamStatus> = std::fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_prefix("forward-")?;
            let name = name.strip_suffix(".lost")?.escape_debug().to_string();
            let is_configured = configured.iter().any(|stream| stream.name == name);
            (!is_configured).then_some((name, path))
        })
        .take(MAX_FILES)
        .filter_map(|(name, path)| {
            let lost = Loss::open(path, log_id).ok()?.lost().to_vec();
            Some(StreamStatus {
                name,
                lost,
                ..StreamStatus::default()
            })
        })
        .collect();
    streams.sort_by(|one, other| one.name.cmp(&other.name));
    let status = Status {
        streams,
        ..Status::default()
    };
    status.lost_through(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_former_streams_are_named() {
        let home = tempfile::tempdir().unwrap();
        for (name, last) in [("a", 10), ("b", 6), ("c", 7)] {
            let path = home.path().join(format!("forward-{name}.lost"));
            let mut loss = Loss::open(path, "one").unwrap();
            loss.miss(6, last);
            loss.store().unwrap();
        }
        std::fs::write(home.path().join("forward-d.cursor"), "{}").unwrap();
        std::fs::write(home.path().join("forward-e.lost"), "{}").unwrap();
        let streams = |names: &[&str]| -> Vec<StreamStatus> {
            let stream = |name: &&str| StreamStatus {
                name: (*name).to_owned(),
                ..StreamStatus::default()
            };
            names.iter().map(stream).collect()
        };
        let found = losses(home.path(), "one", &streams(&["b"]));
        assert_eq!(found.as_deref(), Some("a: 6 to 10; c: 6 to 7"));
        assert_eq!(losses(home.path(), "one", &streams(&["a", "b", "c"])), None);
        assert_eq!(losses(home.path(), "another log", &[]), None);
    }
}
