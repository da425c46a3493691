//! Whether everything that has one id has one content, for more ids than memory holds.
//!
//! (id, fingerprint) pairs are dealt out to buckets by a hash of the id. A bucket's pairs wait in
//! memory and are written behind each other into one file as they fill a block; the file has no name,
//! so a killed run leaves nothing. At the end a bucket at a time is read, sorted and looked through.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

/// Buckets, one for each value of a byte. With 80 million pairs, one has 5 MB.
const BUCKETS: usize = 256;
/// Pairs that wait before they are written; 4 MB for all buckets.
const BLOCK_PAIRS: usize = 1024;
const PAIR_BYTES: usize = 16;
/// Pairs remembered so as not to write the same one again and again. A power of two.
const RECENT: usize = 1 << 14;

/// An id and the fingerprint of its content.
type Pair = (u64, u64);

/// Collects pairs. Holds 4 MB, whatever comes.
#[derive(Debug)]
pub(super) struct Spill {
    waiting: Vec<Vec<Pair>>,
    /// Where the blocks of each bucket begin.
    blocks: Vec<Vec<u64>>,
    recent: Vec<Pair>,
    file: Option<File>,
    end: u64,
    buffer: Vec<u8>,
}

/// What the pairs say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unity {
    /// Different ids.
    pub(super) distinct: u64,
    /// Ids with more than one content.
    pub(super) torn: u64,
    /// The first of those.
    pub(super) examples: Vec<u64>,
}

const MAX_EXAMPLES: usize = 10;

impl Default for Spill {
    fn default() -> Self {
        Self {
            waiting: vec![Vec::new(); BUCKETS],
            blocks: vec![Vec::new(); BUCKETS],
            recent: Vec::new(),
            file: None,
            end: 0,
            buffer: Vec::new(),
        }
    }
}

impl Spill {
    /// Adds a pair; the file, once there must be one, lies in `folder`.
    pub(super) fn push(&mut self, folder: &Path, id: u64, content: u64) -> io::Result<()> {
        let hash = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if self.is_recent(hash, (id, content)) {
            return Ok(());
        }
        let [bucket, ..] = hash.to_be_bytes();
        let bucket = usize::from(bucket);
        let Some(waiting) = self.waiting.get_mut(bucket) else {
            return Ok(());
        };
        waiting.push((id, content));
        if waiting.len() < BLOCK_PAIRS {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(nameless(folder)?),
        };
        self.buffer.clear();
        for (id, content) in waiting.drain(..) {
            self.buffer.extend_from_slice(&id.to_le_bytes());
            self.buffer.extend_from_slice(&content.to_le_bytes());
        }
        file.write_all_at(&self.buffer, self.end)?;
        if let Some(blocks) = self.blocks.get_mut(bucket) {
            blocks.push(self.end);
        }
        self.end += self.buffer.len() as u64;
        Ok(())
    }

    fn is_recent(&mut self, hash: u64, pair: Pair) -> bool {
        if self.recent.is_empty() {
            // No content has this fingerprint under id 0 but by chance, and then it is kept once.
            self.recent = vec![(0, !pair.1); RECENT];
        }
        let [_, high, low, ..] = hash.to_be_bytes();
        let slot = usize::from(u16::from_be_bytes([high, low])) % RECENT;
        match self.recent.get_mut(slot) {
            Some(known) if *known == pair => true,
            Some(known) => {
                *known = pair;
                false
            }
            None => false,
        }
    }

    fn bucket(&self, bucket: usize, into: &mut Vec<Pair>) -> io::Result<()> {
        into.extend(self.waiting.get(bucket).into_iter().flatten());
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut bytes = vec![0; BLOCK_PAIRS * PAIR_BYTES];
        for start in self.blocks.get(bucket).into_iter().flatten() {
            file.read_exact_at(&mut bytes, *start)?;
            let (numbers, _) = bytes.as_chunks::<8>();
            let (pairs, _) = numbers.as_chunks::<2>();
            let number = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
            into.extend(
                pairs
                    .iter()
                    .map(|[id, content]| (number(*id), number(*content))),
            );
        }
        Ok(())
    }
}

/// Looks through the pairs of all collectors with so many threads.
pub(super) fn unity(spills: &[&Spill], jobs: usize) -> io::Result<Unity> {
    let next = AtomicU64::new(0);
    let look = || -> io::Result<Unity> {
        let mut found = Unity::default();
        let mut pairs: Vec<Pair> = Vec::new();
        loop {
            let bucket = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(BUCKETS);
            if bucket >= BUCKETS {
                return Ok(found);
            }
            pairs.clear();
            for spill in spills {
                spill.bucket(bucket, &mut pairs)?;
            }
            pairs.sort_unstable();
            for same in pairs.chunk_by(|a, b| a.0 == b.0) {
                found.distinct += 1;
                if same.first() != same.last() {
                    found.torn += 1;
                    found.examples.extend(same.first().map(|pair| pair.0));
                    found.examples.truncate(MAX_EXAMPLES);
                }
            }
        }
    };
    let found: Vec<io::Result<Unity>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(look)).collect();
        let lost = || Err(io::Error::other("a thread that compared contents has died"));
        let ended = threads.into_iter().map(ScopedJoinHandle::join);
        ended
            .map(|ended| ended.unwrap_or_else(|_| lost()))
            .collect()
    });
    let mut all = Unity::default();
    for found in found {
        let found = found?;
        all.distinct += found.distinct;
        all.torn += found.torn;
        all.examples.extend(found.examples);
    }
    all.examples.sort_unstable();
    all.examples.truncate(MAX_EXAMPLES);
    Ok(all)
}

/// A file that nobody else finds and that goes with its handle.
pub(crate) fn nameless(folder: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".etl-{}-{number}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_ids_with_two_contents_among_many() {
        let folder = std::env::temp_dir();
        let (mut first, mut second) = (Spill::default(), Spill::default());
        // More than waits in memory.
        let many = (BUCKETS * BLOCK_PAIRS * 2) as u64;
        for id in 0..many {
            first.push(&folder, id, id ^ 7).unwrap();
            if id % 3 == 0 {
                second.push(&folder, id, id ^ 7).unwrap();
            }
        }
        assert!(first.end > 0, "it has spilt");
        let united = unity(&[&first, &second], 2).unwrap();
        assert_eq!((united.distinct, united.torn), (many, 0));
        for id in [0, 5, many / 2] {
            second.push(&folder, id, 99).unwrap();
        }
        second.push(&folder, many, 1).unwrap();
        let united = unity(&[&first, &second], 2).unwrap();
        assert_eq!((united.distinct, united.torn), (many + 1, 3));
        assert_eq!(united.examples, [0, 5, many / 2]);
    }

    #[test]
    fn the_memory_of_recent_pairs_hides_no_difference() {
        let folder = std::env::temp_dir();
        let mut spill = Spill::default();
        for content in [1, 1, 2, 1, 2] {
            spill.push(&folder, 0, content).unwrap();
        }
        let united = unity(&[&spill], 1).unwrap();
        assert_eq!((united.distinct, united.torn), (1, 1));
    }
}
