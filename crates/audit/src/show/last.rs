//! The last records of a log, reading no more of it than needed.

use super::{Filter, Shown};
use crate::record::MAX_LINE_BYTES;
use crate::tail::next_line;
use crate::verify::Source;
use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// The last `count` selected records, oldest first. Files are read from the newest back, until
/// there are enough.
///
/// # Errors
/// The operating system's, when a file cannot be read.
pub fn last(sources: Vec<Source>, filter: &Filter, count: usize) -> io::Result<Vec<Shown>> {
    let mut found = VecDeque::new();
    for source in sources.into_iter().rev() {
        let missing = count - found.len();
        if missing == 0 {
            break;
        }
        let mut file = open_near_end(source, filter, missing)?;
        let (mut older, mut line) = (VecDeque::new(), Vec::new());
        while next_line(&mut file, &mut line)? > 0 {
            if let Some(shown) = filter.read(&line) {
                if older.len() == missing {
                    older.pop_front();
                }
                older.push_back(shown);
            }
        }
        older.append(&mut found);
        found = older;
    }
    Ok(found.into())
}

/// Opens a file. If every line is selected, only its last bytes are read: as many as `count`
/// records can have.
fn open_near_end(
    source: Source,
    filter: &Filter,
    count: usize,
) -> io::Result<BufReader<Box<dyn Read>>> {
    let (Some(length), true) = (source.bytes(), filter.wants_all()) else {
        return Ok(BufReader::new(source.open()?));
    };
    // One line more than wanted: the first one read is usually incomplete.
    let most = (count as u64 + 1).saturating_mul(MAX_LINE_BYTES as u64);
    let Some(mut file) = source.into_file()? else {
        return Err(io::Error::other("not a file"));
    };
    let start = length.saturating_sub(most);
    file.seek(SeekFrom::Start(start))?;
    let mut file: BufReader<Box<dyn Read>> = BufReader::new(Box::new(file));
    if start > 0 {
        // Skips the rest of a line that begins before.
        next_line(&mut file, &mut Vec::new())?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Body, Head};
    use crate::time::Timestamp;
    use std::io::{Cursor, Write};

    /// Files with these numbers of records.
    fn files(numbers: &[u64]) -> Vec<tempfile::NamedTempFile> {
        let mut head = Head::START;
        let file = |count: &u64| {
            let mut lines = Vec::new();
            for _ in 0..*count {
                let node = format!("pve{}", head.seq % 2);
                let body = Body::named("command.start").with_text("node", &node);
                head.extend(&mut lines, Timestamp::default(), &body);
            }
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&lines).unwrap();
            file
        };
        numbers.iter().map(file).collect()
    }

    fn seqs(files: &[tempfile::NamedTempFile], filter: &Filter, count: usize) -> Vec<u64> {
        let sources = files.iter().map(|file| Source::path(file.path())).collect();
        let found = last(sources, filter, count).unwrap();
        found.iter().map(|shown| shown.seq).collect()
    }

    #[test]
    fn last_records_across_files() {
        let files = files(&[30, 0, 2, 100]);
        let all = Filter::default();
        assert_eq!(seqs(&files, &all, 3), [130, 131, 132]);
        assert_eq!(seqs(&files, &all, 0), [0u64; 0]);
        assert_eq!(seqs(&files, &all, 103).first(), Some(&30));
        assert_eq!(seqs(&files, &all, 1000).len(), 132);
        let node = Some("pve1".to_owned());
        let some = Filter { node, ..all };
        assert_eq!(seqs(&files, &some, 2), [130, 132]);
        assert_eq!(seqs(&files[..3], &some, 2), [30, 32]);
    }

    #[test]
    fn a_pipe_is_read_from_its_beginning() {
        let source = Source::reader("-", Cursor::new(b"a\nb\nc".to_vec()));
        let found = last(vec![source], &Filter::default(), 2).unwrap();
        let lines: Vec<&str> = found.iter().map(|shown| shown.line.as_str()).collect();
        assert_eq!(lines, ["b", "c"]);
    }
}
