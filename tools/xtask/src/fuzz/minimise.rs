//! Putting what runs found into the corpus that is checked in, and no more of it
//! than reaches the same code.

use super::target::{Target, create, files};
use crate::process::{self, Failure, Outcome};
use std::fs;
use std::io;

/// Replaces each target's corpus by the smallest set that covers what it and the
/// inputs found by runs cover together.
pub(super) fn minimise(targets: &[Target]) -> Outcome {
    for target in targets {
        let merged = target.output("merged");
        let (corpus, found) = (target.corpus(), target.found());
        // What a merge that was ended left would count as part of the set.
        let _ = fs::remove_dir_all(&merged);
        for dir in [&merged, &corpus, &found] {
            create(dir)?;
        }
        let mut command = target.command();
        command
            // How often a place is reached is soon found out again; counting it here
            // would keep ten inputs for one.
            .args(["-set_cover_merge=1", "-use_counters=0"])
            .arg(&merged)
            .args([&corpus, &found]);
        let (status, log) = process::quietly(&mut command)?;
        if !status.success() {
            eprintln!("{log}");
            return Err(Failure::new(format!("{}: merging failed", target.name())));
        }
        let before = files(&corpus)?.len();
        replace(target).map_err(|error| Failure::new(format!("{}: {error}", corpus.display())))?;
        println!(
            "{:>20}: {before} inputs before, {} now",
            target.name(),
            files(&corpus)?.len()
        );
    }
    Ok(())
}

/// The merged inputs are complete before the first old one is removed.
fn replace(target: &Target) -> io::Result<()> {
    for old in fs::read_dir(target.corpus())? {
        fs::remove_file(old?.path())?;
    }
    for new in fs::read_dir(target.output("merged"))? {
        let new = new?;
        fs::copy(new.path(), target.corpus().join(new.file_name()))?;
    }
    Ok(())
}
