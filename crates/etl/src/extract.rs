//! A file, plain or gzip, to lines.
//!
//! Which of the two is told by the first two bytes. A gzip file may consist of
//! several members; each one's checksum and length are verified, and what
//! follows the last one must be another. One line is in memory at a time, and
//! of a line over the limit not even that.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crc32fast::Hasher;
use flate2::bufread::MultiGzDecoder;

use crate::clean::MAX_LINE_BYTES;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 1 << 17;

/// A file that could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("{}, line {line}, byte {offset}: {source}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// The line that was being read, from 1.
    pub line: u64,
    /// Bytes read from the disk so far.
    pub offset: u64,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// A line, without its `\n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It had more than [`MAX_LINE_BYTES`] and was read past.
    TooLong,
}

/// Reads lines from a file.
pub struct Lines {
    path: PathBuf,
    source: Source,
    line: Vec<u8>,
    /// Lines handed out.
    count: u64,
    /// Bytes of them.
    raw_bytes: u64,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("path", &self.path)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

type Head = Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>;

enum Source {
    Plain(BufReader<Counted<Head>>),
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<Counted<Head>>>>>),
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read; or its name ends in `.gz` and its content
    /// is not gzip, as with a download that never began.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let opened = File::open(path).map(|file| Box::new(file) as Box<dyn Read + Send>);
        Self::of(path, opened)
    }

    /// Reads what was opened elsewhere, as the file that `path` names.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and what opening met.
    pub fn of(path: &Path, opened: io::Result<Box<dyn Read + Send>>) -> Result<Self, ReadError> {
        let source = opened.and_then(|inner| Source::new(path, inner));
        let source = source.map_err(|source| ReadError {
            path: path.to_owned(),
            line: 1,
            offset: 0,
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            source,
            line: Vec::new(),
            count: 0,
            raw_bytes: 0,
        })
    }

    /// The next line; `None` at the end. A last line without `\n` counts.
    ///
    /// # Errors
    ///
    /// The disk fails, or the gzip stream is cut or garbled. The file is then
    /// of no use; lines handed out before may be wrong too.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        match read_line(self.source.reader(), &mut self.line, &mut self.raw_bytes) {
            Ok(Found::End) => Ok(None),
            Ok(found) => {
                self.count = self.count.saturating_add(1);
                Ok(Some(match found {
                    Found::TooLong => Line::TooLong,
                    Found::End | Found::Whole => Line::Whole(&self.line),
                }))
            }
            Err(source) => Err(ReadError {
                path: self.path.clone(),
                line: self.count.saturating_add(1),
                offset: self.bytes(),
                source,
            }),
        }
    }

    /// Bytes read from the disk so far, that is, before unpacking.
    pub fn bytes(&self) -> u64 {
        self.source.counted().bytes
    }

    /// CRC-32 of those.
    pub fn crc32(&self) -> u32 {
        self.source.counted().crc32.clone().finalize()
    }

    /// Bytes of the lines handed out, their ends included.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }
}

impl Source {
    fn new(path: &Path, mut inner: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        Read::by_ref(&mut inner)
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut head)?;
        let is_gzip = head == GZIP_MAGIC;
        if !is_gzip && path.extension().is_some_and(|end| end == "gz") {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "named .gz, but its content is not gzip",
            ));
        }
        let counted = Counted {
            inner: Cursor::new(head).chain(inner),
            bytes: 0,
            crc32: Hasher::new(),
        };
        let reader = BufReader::with_capacity(BUFFER_BYTES, counted);
        Ok(if is_gzip {
            let decoder = MultiGzDecoder::new(reader);
            Self::Gzip(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder)))
        } else {
            Self::Plain(reader)
        })
    }

    fn counted(&self) -> &Counted<Head> {
        match self {
            Self::Plain(reader) => reader.get_ref(),
            Self::Gzip(reader) => reader.get_ref().get_ref().get_ref(),
        }
    }

    fn reader(&mut self) -> &mut dyn BufRead {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(reader) => reader,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    End,
    Whole,
    TooLong,
}

fn read_line(
    reader: &mut dyn BufRead,
    line: &mut Vec<u8>,
    raw_bytes: &mut u64,
) -> io::Result<Found> {
    line.clear();
    let mut found = Found::End;
    loop {
        let chunk = match reader.fill_buf() {
            Ok([]) => return Ok(found),
            Ok(chunk) => chunk,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = memchr::memchr(b'\n', chunk);
        let content = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or(chunk);
        if found == Found::End {
            found = Found::Whole;
        }
        if line.len().saturating_add(content.len()) > MAX_LINE_BYTES {
            found = Found::TooLong;
        }
        if found == Found::Whole {
            line.extend_from_slice(content);
        }
        let used = content.len().saturating_add(usize::from(end.is_some()));
        reader.consume(used);
        *raw_bytes = raw_bytes.saturating_add(used as u64);
        if end.is_some() {
            return Ok(found);
        }
    }
}

/// Counts what it reads.
struct Counted<R> {
    inner: R,
    bytes: u64,
    crc32: Hasher,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes = self.bytes.saturating_add(read as u64);
        self.crc32.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// All lines of a file with these bytes, a long one as `None`.
    fn lines(name: &str, bytes: &[u8]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let folder = std::env::temp_dir().join(format!("etl-extract-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut lines = Lines::open(&path)?;
        let mut all = Vec::new();
        while let Some(line) = lines.next_line()? {
            all.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        assert_eq!(lines.bytes(), bytes.len() as u64);
        assert_eq!(lines.crc32(), crc32fast::hash(bytes));
        Ok(all)
    }

    fn raw_bytes(bytes: &[u8]) -> u64 {
        let opened = Box::new(Cursor::new(bytes.to_vec()));
        let mut lines = Lines::of(Path::new("memory"), Ok(opened)).unwrap();
        while lines.next_line().unwrap().is_some() {}
        lines.raw_bytes()
    }

    #[test]
    fn reads_plain_and_gzip_alike() {
        for text in ["", "\n", "a", "a\n", "a\n\nb\r\nc", "\n\n"] {
            let expected: Vec<_> = text
                .split_inclusive('\n')
                .map(|line| Some(line.strip_suffix('\n').unwrap_or(line).as_bytes().to_vec()))
                .collect();
            assert_eq!(lines("alike", text.as_bytes()).unwrap(), expected);
            assert_eq!(lines("alike.gz", &gzip(text.as_bytes())).unwrap(), expected);
            assert_eq!(raw_bytes(text.as_bytes()), text.len() as u64);
            assert_eq!(raw_bytes(&gzip(text.as_bytes())), text.len() as u64);
        }
    }

    #[test]
    fn reads_all_members() {
        let both = [gzip(b"a\nb"), gzip(b"c\nd\n")].concat();
        let found = lines("members.gz", &both).unwrap();
        assert_eq!(
            found,
            [b"a".to_vec(), b"bc".to_vec(), b"d".to_vec()].map(Some)
        );
    }

    #[test]
    fn a_long_line_is_read_past() {
        let fits = "x".repeat(MAX_LINE_BYTES);
        let text = format!("a\n{fits}\n{fits}y\nb\n{fits}y");
        let expected = [
            Some(b"a".to_vec()),
            Some(fits.clone().into_bytes()),
            None,
            Some(b"b".to_vec()),
            None,
        ];
        assert_eq!(lines("long", text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_cut_or_garbled_file_is_an_error_with_its_place() {
        let text: Vec<_> = (0..5000).map(|n| format!("line {n}\n")).collect();
        let whole = gzip(text.concat().as_bytes());
        for cut in [0, 1, 2, 9, 100, whole.len() - 9, whole.len() - 1] {
            let error = lines("cut.gz", &whole[..cut]).unwrap_err();
            assert!(error.to_string().contains("cut.gz, line "), "{error}");
        }
        for garbled in [whole.len() / 2, whole.len() - 6, whole.len() - 2] {
            let mut bytes = whole.clone();
            bytes[garbled] ^= 0x55;
            assert!(lines("garbled.gz", &bytes).is_err());
        }
        assert!(lines("tail.gz", &[whole, b"tail".to_vec()].concat()).is_err());
    }

    #[test]
    fn an_unreadable_file_is_an_error() {
        assert!(Lines::open(Path::new("no/such/file")).is_err());
        let folder = std::env::temp_dir();
        let read = Lines::open(&folder).map(|mut lines| lines.next_line().is_err());
        assert!(read.is_err() || read.is_ok_and(|failed| failed));
    }
}
