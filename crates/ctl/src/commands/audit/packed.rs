//! Segments in Zstandard's format (RFC 8878), as `audit archive` and zstd(1) write it.
//!
//! An archive may come from anywhere. What it may cost is bounded before it is read: the
//! window that it asks for, and how much it becomes. Every line of a log has at least the 32
//! bytes of a hash that nothing makes smaller, and 4,096 at most; so nothing that becomes
//! much more than 128 times larger is a log.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

/// The end of an archived segment's name.
pub(super) const SUFFIX: &str = ".zst";

/// The largest window that zstd(1) asks for up to level 19, and that a decoder has to offer.
const MAX_WINDOW_BYTES: u64 = 8 << 20;
/// An archive becomes no more than so many times larger, and this.
const MAX_RATIO: u64 = 256;
const SPARE_BYTES: u64 = 1 << 20;

/// Reads what was packed. Its memory is bounded by the largest window.
pub(super) struct Unpacked<R> {
    packed: BufReader<Counted<R>>,
    decoder: FrameDecoder,
    /// A frame was begun and has not ended.
    is_within: bool,
    given: u64,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn of(packed: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW_BYTES);
        Self {
            packed: BufReader::with_capacity(
                128 * 1024,
                Counted {
                    inner: packed,
                    count: 0,
                },
            ),
            decoder,
            is_within: false,
            given: 0,
        }
    }

    /// Begins the next frame; false where there is none. One that may be skipped is.
    fn begin(&mut self) -> io::Result<bool> {
        // A file is any number of frames (RFC 8878, section 3.1), and skippable ones carry no
        // content (section 3.1.2).
        loop {
            if self.packed.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let length = match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => u64::from(length),
                Err(error) => return Err(wrong(error)),
            };
            if io::copy(&mut self.packed.by_ref().take(length), &mut io::sink())? < length {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_within {
                self.is_within = self.begin()?;
                if !self.is_within {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                // One block at a time, so that no more than its 128 KiB are held besides the
                // window.
                self.decoder
                    .decode_blocks(&mut self.packed, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(wrong)?;
            }
            let count = self.decoder.read(buffer)?;
            if count == 0 {
                // The frame's end is not the end: another may follow.
                self.is_within = false;
                continue;
            }
            self.given += count as u64;
            // Compared with the bytes read so far: a bomb is refused before it is unpacked.
            let most = self.packed.get_ref().count.saturating_mul(MAX_RATIO);
            if self.given > most.saturating_add(SPARE_BYTES) {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    format!("it becomes more than {MAX_RATIO} times larger: this is no log"),
                ));
            }
            return Ok(count);
        }
    }
}

fn wrong(error: FrameDecoderError) -> io::Error {
    match error {
        FrameDecoderError::WindowSizeTooBig { .. } => io::Error::new(
            ErrorKind::InvalidData,
            "it asks for more than 8 MiB of memory to be unpacked: pack it anew with zstd -19 or less",
        ),
        error => io::Error::new(ErrorKind::InvalidData, format!("not unpacked: {error}")),
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

/// Packs everything that can be read.
///
/// # Errors
/// Those of `from` and `to`.
pub(super) fn pack(from: impl Read, to: impl Write) -> io::Result<()> {
    // The encoder has no errors of its own: it panics at those of its source and drain. So it
    // is told of none, and they are looked at afterwards.
    let (mut read, mut written) = (None, None);
    let source = Quiet {
        inner: from,
        error: &mut read,
    };
    let drain = Quiet {
        inner: to,
        error: &mut written,
    };
    compress(source, drain, CompressionLevel::Fastest);
    read.or(written).map_or(Ok(()), Err)
}

/// Keeps the first error and goes on as if nothing more came, or all were taken.
struct Quiet<'a, T> {
    inner: T,
    error: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Quiet<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => {
                    self.error.get_or_insert(error);
                    return Ok(0);
                }
                read => return read,
            }
        }
    }
}

impl<W: Write> Write for Quiet<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.error.is_none() {
            *self.error = self.inner.write_all(bytes).err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.error.is_none() {
            *self.error = self.inner.flush().err();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        pack(content, &mut packed).unwrap();
        packed
    }

    fn unpacked(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Unpacked::of(packed).read_to_end(&mut content)?;
        Ok(content)
    }

    /// Lines such as a log has: hashes, and the same words again and again.
    fn content(lines: u64) -> Vec<u8> {
        let mut state = 7u64;
        let mut hash = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            format!("{state:016x}")
        };
        let mut line = || {
            format!(
                "{{\"seq\":1,\"event_type\":\"x\",\"event_hash\":\"{}\"}}\n",
                hash().repeat(2)
            )
        };
        (0..lines).map(|_| line()).collect::<String>().into_bytes()
    }

    #[test]
    fn packing_round_trip() {
        for lines in [0, 1, 100, 20_000] {
            let content = content(lines);
            let packed = packed(&content);
            assert_eq!(unpacked(&packed).unwrap(), content, "{lines}");
            assert!(lines < 100 || packed.len() < content.len() / 2);
        }
    }

    #[test]
    fn frames_are_joined_or_skipped() {
        let (first, second) = (content(50), content(9));
        let skipped = [
            &0x184d_2a50u32.to_le_bytes()[..],
            &3u32.to_le_bytes(),
            b"abc",
        ]
        .concat();
        let all = [&packed(&first)[..], &skipped, &packed(&second), &skipped].concat();
        assert_eq!(unpacked(&all).unwrap(), [first, second].concat());
        assert!(unpacked(&all[..all.len() - 1]).is_err(), "it was cut");
        assert_eq!(unpacked(b"").unwrap(), b"");
    }

    #[test]
    fn broken_archives_are_refused() {
        let whole = packed(&content(5000));
        for end in [1, 3, 5, 9, whole.len() / 2, whole.len() - 1] {
            assert!(unpacked(&whole[..end]).is_err(), "{end}");
        }
        for wrong in [&b"{\"seq\":1}\n"[..], b"\0\0\0\0\0\0\0\0"] {
            assert!(unpacked(wrong).is_err());
        }
        let error = unpacked(&[&whole[..], b"rubbish"].concat()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn bombs_are_refused() {
        // Zeros: frames of a few bytes that become 128 KiB each.
        let bomb = packed(&vec![0; 8 << 20]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        let mut given = 0;
        let mut reader = Unpacked::of(&bomb[..]);
        let error = loop {
            match reader.read(&mut [0; 4096]) {
                Ok(0) => panic!("all of it was unpacked"),
                Ok(count) => given += count,
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("this is no log"), "{error}");
        assert!(given as u64 <= bomb.len() as u64 * MAX_RATIO + SPARE_BYTES);
    }

    #[test]
    fn huge_windows_are_refused() {
        // Magic number; no size and no checksum; a window of 2^(10 + 16) bytes.
        let header = [&0xfd2f_b528u32.to_le_bytes()[..], &[0, 16 << 3]].concat();
        let error = unpacked(&header).unwrap_err();
        assert!(error.to_string().contains("zstd -19"), "{error}");
    }

    #[test]
    fn errors_of_source_and_drain() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the source"))
            }
        }
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("the drain"))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let content = content(2000);
        let error = pack(&content[..], Broken).unwrap_err();
        assert_eq!(error.to_string(), "the drain");
        let error = pack(content.chain(Broken), io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "the source");
    }
}
