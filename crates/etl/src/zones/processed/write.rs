//! Rows to files of bounded size.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use twitter_core::record::Row;

use super::{ROWS, RUN, RowsFile, RunManifest, schema};
use crate::failure::{Failure, FailureKind};
use crate::zones::facts::{BATCH_BYTES, BATCH_ROWS, of_write, rows_file};
use crate::zones::key;
use crate::zones::place::{Pending, Place};

/// A file ends after the batch that makes it this large.
const FILE_BYTES: usize = 256 << 20;

/// Writes the rows of a run, which come in the order of the key.
pub struct RowsWriter {
    place: Place,
    file_bytes: usize,
    current: Option<Current>,
    files: Vec<RowsFile>,
    columns: RowColumns,
    rows: usize,
    bytes: usize,
}

struct Current {
    name: String,
    path: String,
    writer: ArrowWriter<Pending>,
    rows: u64,
}

#[derive(Default)]
struct RowColumns {
    user_key: Int64Builder,
    contact_key: Int64Builder,
    tweet_key: Int64Builder,
    created_at: Int64Builder,
    kind: Int32Builder,
    tweet_text: StringBuilder,
    hashtags: StringBuilder,
    contact_screen_name: StringBuilder,
    contact_description: StringBuilder,
    reply_count: Int64Builder,
    retweet_count: Int64Builder,
    same_tag_count: Int64Builder,
    latest: Int32Builder,
}

impl std::fmt::Debug for RowsWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowsWriter")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl RowsWriter {
    /// Begins a run: what an earlier one wrote is removed, its manifest first. Nobody else may be
    /// writing into the place.
    ///
    /// # Errors
    ///
    /// The place is read-only or broken.
    pub fn begin(place: &Place) -> Result<Self, Failure> {
        place.remove(RUN)?;
        place.sweep("")?;
        place.sweep(ROWS)?;
        for file in place.list(ROWS)? {
            place.remove(&file.name)?;
        }
        Ok(Self::with_file_bytes(place, FILE_BYTES))
    }

    fn with_file_bytes(place: &Place, file_bytes: usize) -> Self {
        Self {
            place: place.clone(),
            file_bytes,
            current: None,
            files: Vec::new(),
            columns: RowColumns::default(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// The place is read-only, full or broken.
    pub fn push(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        let tags: Vec<&str> = row.hashtags.iter().collect();
        let hashtags = serde_json::to_string(&tags)
            .map_err(|error| Failure::new(FailureKind::Software, error.to_string()))?;
        self.bytes += row.tweet_text.len() + hashtags.len();
        self.bytes += row.contact_screen_name.len() + row.contact_description.len();
        self.rows += 1;
        let columns = &mut self.columns;
        columns.user_key.append_value(key::of(row.user_id));
        columns.contact_key.append_value(key::of(row.contact_id));
        columns.tweet_key.append_value(key::of(row.tweet_id));
        columns.created_at.append_value(row.created_at);
        columns.kind.append_value(row.kind.bits().into());
        columns.tweet_text.append_value(row.tweet_text);
        columns.hashtags.append_value(hashtags);
        columns
            .contact_screen_name
            .append_value(row.contact_screen_name);
        columns
            .contact_description
            .append_value(row.contact_description);
        columns.reply_count.append_value(row.reply_count.into());
        columns.retweet_count.append_value(row.retweet_count.into());
        columns
            .same_tag_count
            .append_value(row.same_tag_count.into());
        columns.latest.append_value(row.latest.bits().into());
        if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the last file. All files, in order; there is none without rows.
    ///
    /// # Errors
    ///
    /// The place is full or broken.
    pub fn finish(mut self) -> Result<Vec<RowsFile>, Failure> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.end_file()?;
        Ok(self.files)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let rows = std::mem::take(&mut self.rows) as u64;
        self.bytes = 0;
        let batch = self.columns.finish().map_err(|error| {
            Failure::new(FailureKind::Software, format!("rows as columns: {error}"))
        })?;
        let current = if let Some(current) = &mut self.current {
            current
        } else {
            let name = format!("part-{:05}.parquet", self.files.len());
            let pending = self.place.create(&format!("{ROWS}/{name}"))?;
            self.current.insert(Current {
                name,
                path: pending.describe(),
                writer: rows_file(pending, schema())?,
                rows: 0,
            })
        };
        let written = current.writer.write(&batch);
        written.map_err(|error| of_write(&current.path, &error))?;
        current.rows += rows;
        let bytes = current.writer.bytes_written() + current.writer.in_progress_size();
        if bytes >= self.file_bytes {
            self.end_file()?;
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), Failure> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        let pending = current.writer.into_inner();
        let pending = pending.map_err(|error| of_write(&current.path, &error))?;
        self.files.push(RowsFile {
            name: current.name,
            rows: current.rows,
            size_bytes: pending.written_bytes(),
        });
        pending.commit()
    }
}

/// Ends a run: its manifest is written.
///
/// # Errors
///
/// The place is full or broken.
pub fn publish(place: &Place, run: &RunManifest) -> Result<(), Failure> {
    let mut text = serde_json::to_vec_pretty(run)
        .map_err(|error| Failure::new(FailureKind::Software, format!("{RUN}: {error}")))?;
    text.push(b'\n');
    place.write(RUN, &text)
}

impl RowColumns {
    fn finish(&mut self) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.user_key.finish()),
            Arc::new(self.contact_key.finish()),
            Arc::new(self.tweet_key.finish()),
            Arc::new(self.created_at.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.tweet_text.finish()),
            Arc::new(self.hashtags.finish()),
            Arc::new(self.contact_screen_name.finish()),
            Arc::new(self.contact_description.finish()),
            Arc::new(self.reply_count.finish()),
            Arc::new(self.retweet_count.finish()),
            Arc::new(self.same_tag_count.finish()),
            Arc::new(self.latest.finish()),
        ];
        RecordBatch::try_new(schema(), columns)
    }
}

#[cfg(test)]
mod tests {
    use twitter_core::record::{Hashtags, Kind, Latest};

    use super::super::{PROCESSED_VERSION, for_each_row, manifest};
    use super::*;

    #[test]
    fn rows_come_back_from_files_of_bounded_size() {
        let root = std::env::temp_dir().join(format!("etl-rows-{}", std::process::id()));
        let place = Place::local(&root);
        let mut writer = RowsWriter::with_file_bytes(&place, 1 << 16);
        let text = "a\tb\n\0\u{1f600}".repeat(9);
        let row = |tweet_id| Row {
            user_id: 1,
            contact_id: u64::MAX,
            tweet_id,
            created_at: -1,
            kind: Kind::BOTH,
            tweet_text: &text,
            hashtags: Hashtags::from(&["a\"", "\u{e9}"]),
            contact_screen_name: "",
            contact_description: "d",
            reply_count: 1,
            retweet_count: u32::MAX,
            same_tag_count: 11,
            base_score: twitter_core::score::base_score(1, u32::MAX, 11),
            latest: Latest::NONE,
        };
        let count = 10 * BATCH_ROWS as u64 + 1;
        for tweet_id in 0..count {
            writer.push(&row(tweet_id)).unwrap();
        }
        let rows = writer.finish().unwrap();
        assert!(rows.len() > 1 && rows.iter().all(|file| file.size_bytes < 1 << 20));
        let run = RunManifest {
            processed_version: PROCESSED_VERSION,
            engine: "memory".to_owned(),
            inputs: Vec::new(),
            working: String::new(),
            excluded: Vec::new(),
            excluded_sha256: String::new(),
            tally: serde_json::Map::new(),
            rows,
        };
        publish(&place, &run).unwrap();
        let run = manifest(&place).unwrap().unwrap();
        let mut next = 0;
        for_each_row(&place, &run, &mut |found| {
            assert_eq!(found, &row(next));
            next += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(next, count);
        drop(RowsWriter::begin(&place).unwrap());
        assert!(place.list("").unwrap().is_empty() && manifest(&place).unwrap().is_none());
        std::fs::remove_dir_all(root).unwrap();
    }
}
