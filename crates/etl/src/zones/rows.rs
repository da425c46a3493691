//! Reading the processed zone: one user's rows at a time, for several readers at once.
//!
//! The rows are sorted by user, so a range of users is a run of row groups, found by their
//! statistics. Each reader decodes the row groups of its range and holds one batch of each file it
//! is at, and the batches that its present user lies in.

mod user;

use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::statistics::Statistics;

pub use self::user::UserRows;
use self::user::{Batch, Segment};
use crate::failure::{Failure, FailureKind};
use crate::zones::place::Place;
use crate::zones::processed::{ROWS, RunManifest, manifest, schema};

/// Rows decoded together.
const BATCH_ROWS: usize = 4096;

/// A processed zone whose files are what its manifest says.
#[derive(Debug)]
pub struct RowsZone {
    place: Place,
    manifest: RunManifest,
    files: Vec<RowsFileMetadata>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct RowsFileMetadata {
    name: String,
    metadata: ArrowReaderMetadata,
}

/// A row group and the keys of its first and last user.
#[derive(Debug, Clone, Copy)]
struct Group {
    file: usize,
    index: usize,
    rows: u64,
    keys: Option<(i64, i64)>,
}

/// Users from one key to before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRange {
    from: i64,
    /// `None`: to the last.
    before: Option<i64>,
}

impl KeyRange {
    /// All users.
    pub const ALL: Self = Self {
        from: i64::MIN,
        before: None,
    };

    /// The least id inside, and the greatest.
    pub fn ids(self) -> (u64, u64) {
        let last = self.before.map_or(i64::MAX, |key| key.saturating_sub(1));
        (
            crate::zones::key::id(self.from),
            crate::zones::key::id(last),
        )
    }

    fn has(self, key: i64) -> bool {
        self.from <= key && self.before.is_none_or(|before| key < before)
    }

    fn meets(self, (first, last): (i64, i64)) -> bool {
        last >= self.from && self.before.is_none_or(|before| first < before)
    }
}

impl RowsZone {
    /// Opens a zone: reads its manifest and compares every file's size, columns and number of rows
    /// with it.
    ///
    /// # Errors
    ///
    /// There is no finished run, it is of another version, or files are missing or differ.
    pub fn open(place: &Place) -> Result<Self, Failure> {
        let manifest = read_manifest(place)?;
        let mut files = Vec::with_capacity(manifest.rows.len());
        let mut groups = Vec::new();
        for listed in &manifest.rows {
            let name = format!("{ROWS}/{}", listed.name);
            let path = place.describe(&name);
            let file = place.open(&name)?;
            let size = file.metadata().map_or(0, |metadata| metadata.len());
            if size != listed.size_bytes {
                let text = format!("it has {size} bytes, run.json says {}", listed.size_bytes);
                return Err(bad(&path, &text));
            }
            // Types are taken from the columns themselves: engines describe them differently.
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let metadata = ArrowReaderMetadata::load(&file, options);
            let metadata = metadata.map_err(|error| bad(&path, &error.to_string()))?;
            check_columns(&path, metadata.schema())?;
            let rows = add_groups(&metadata, files.len(), &mut groups);
            if rows != listed.rows {
                let text = format!("it has {rows} rows, run.json says {}", listed.rows);
                return Err(bad(&path, &text));
            }
            files.push(RowsFileMetadata { name, metadata });
        }
        Ok(Self {
            place: place.clone(),
            manifest,
            files,
            groups,
        })
    }

    /// What the run says of itself.
    pub const fn manifest(&self) -> &RunManifest {
        &self.manifest
    }

    /// Where it lies.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.groups.iter().map(|group| group.rows).sum()
    }

    /// At most so many ranges that hold about as many rows each, in order, and together all users.
    /// One range where the files' statistics do not tell.
    pub fn ranges(&self, count: usize) -> Vec<KeyRange> {
        let firsts: Option<Vec<(i64, u64)>> = self
            .groups
            .iter()
            .map(|group| Some((group.keys?.0, group.rows)))
            .collect();
        let Some(firsts) = firsts else {
            return vec![KeyRange::ALL];
        };
        let share = (self.rows() / count.max(1) as u64).max(1);
        let mut ranges = Vec::with_capacity(count);
        let (mut from, mut held) = (i64::MIN, 0);
        for (first, rows) in firsts {
            if held >= share && first > from && ranges.len() + 1 < count {
                ranges.push(KeyRange {
                    from,
                    before: Some(first),
                });
                (from, held) = (first, 0);
            }
            held += rows;
        }
        ranges.push(KeyRange { from, before: None });
        ranges
    }

    /// The users of a range, by ascending id.
    pub fn users(&self, range: KeyRange) -> Users<'_> {
        let mut runs: Vec<(usize, Vec<usize>)> = Vec::new();
        for group in &self.groups {
            if !group.keys.is_none_or(|keys| range.meets(keys)) {
                continue;
            }
            match runs.last_mut() {
                Some((file, indices)) if *file == group.file => indices.push(group.index),
                _ => runs.push((group.file, vec![group.index])),
            }
        }
        Users {
            zone: self,
            range,
            runs: runs.into_iter(),
            reader: None,
            path: String::new(),
            rest: None,
            last_key: i64::MIN,
        }
    }
}

/// Walks over the users of a range.
pub struct Users<'z> {
    zone: &'z RowsZone,
    range: KeyRange,
    runs: std::vec::IntoIter<(usize, Vec<usize>)>,
    reader: Option<ParquetRecordBatchReader>,
    path: String,
    /// What is left of the batch that the last user ended in.
    rest: Option<Segment>,
    last_key: i64,
}

impl Users<'_> {
    /// The next user's rows.
    ///
    /// # Errors
    ///
    /// A file is missing, damaged or out of order.
    pub fn next_user(&mut self) -> Result<Option<UserRows>, Failure> {
        let mut segments: Vec<Segment> = Vec::new();
        let mut user = None;
        loop {
            let segment = match self.rest.take() {
                Some(segment) => segment,
                None => match self.next_batch()? {
                    Some(segment) => segment,
                    None => break,
                },
            };
            let keys = segment.keys();
            let Some(&key) = keys.first() else { continue };
            if user.is_some_and(|user| user != key) {
                self.rest = Some(segment);
                break;
            }
            user = Some(key);
            let same = keys.iter().take_while(|next| **next == key).count();
            let (own, rest) = segment.split(same);
            segments.push(own);
            if rest.is_empty() {
                continue;
            }
            self.rest = Some(rest);
            break;
        }
        Ok((!segments.is_empty()).then(|| UserRows::new(segments)))
    }

    /// The next batch's rows that are inside the range.
    fn next_batch(&mut self) -> Result<Option<Segment>, Failure> {
        loop {
            let Some(reader) = &mut self.reader else {
                let Some((file, indices)) = self.runs.next() else {
                    return Ok(None);
                };
                self.open(file, indices)?;
                continue;
            };
            let Some(batch) = reader.next() else {
                self.reader = None;
                continue;
            };
            let batch = batch.map_err(|error| bad(&self.path, &error.to_string()))?;
            let batch = Batch::new(&batch).map_err(|error| bad(&self.path, &error))?;
            let segment = Segment::all(Arc::new(batch));
            for &key in segment.keys() {
                if key < self.last_key {
                    return Err(bad(&self.path, "its rows are not sorted by user"));
                }
                self.last_key = key;
            }
            let keys = segment.keys();
            let before = keys.partition_point(|key| *key < self.range.from);
            let inside = keys.partition_point(|key| *key < self.range.from || self.range.has(*key));
            let segment = segment.split(inside).0.split(before).1;
            if !segment.is_empty() {
                return Ok(Some(segment));
            }
        }
    }

    fn open(&mut self, file: usize, indices: Vec<usize>) -> Result<(), Failure> {
        let Some(known) = self.zone.files.get(file) else {
            return Ok(());
        };
        self.path = self.zone.place.describe(&known.name);
        let file = self.zone.place.open(&known.name)?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, known.metadata.clone())
                .with_row_groups(indices)
                .with_batch_size(BATCH_ROWS);
        let reader = builder.build();
        self.reader = Some(reader.map_err(|error| bad(&self.path, &error.to_string()))?);
        Ok(())
    }
}

fn read_manifest(place: &Place) -> Result<RunManifest, Failure> {
    manifest(place)?.ok_or_else(|| {
        let line = format!("{place} has no finished run; run `etl score` to its end");
        Failure::new(FailureKind::Input, line)
    })
}

fn check_columns(path: &str, found: &SchemaRef) -> Result<(), Failure> {
    let wanted = schema();
    let has = |name: &str, kind: &DataType| {
        let field = found.field_with_name(name);
        field.is_ok_and(|field| field.data_type() == kind)
    };
    for field in wanted.fields() {
        if !has(field.name(), field.data_type()) {
            let text = format!("no column {} of type {}", field.name(), field.data_type());
            return Err(bad(path, &text));
        }
    }
    if found.fields().len() == wanted.fields().len() {
        return Ok(());
    }
    Err(bad(path, "it has more columns than this version knows"))
}

/// Notes the row groups of a file and gives the number of its rows.
fn add_groups(metadata: &ArrowReaderMetadata, file: usize, groups: &mut Vec<Group>) -> u64 {
    let mut total = 0;
    let user_column = metadata
        .parquet_schema()
        .columns()
        .iter()
        .position(|column| column.name() == "user_key");
    for (index, group) in metadata.metadata().row_groups().iter().enumerate() {
        let rows = u64::try_from(group.num_rows()).unwrap_or_default();
        total += rows;
        let statistics = user_column.and_then(|column| group.columns().get(column)?.statistics());
        let keys = match statistics {
            Some(Statistics::Int64(keys)) => keys.min_opt().copied().zip(keys.max_opt().copied()),
            _ => None,
        };
        groups.push(Group {
            file,
            index,
            rows,
            keys,
        });
    }
    total
}

fn bad(path: &str, text: &str) -> Failure {
    Failure::new(FailureKind::Input, format!("{path}: {text}"))
}
