//! Record batches into Parquet files of bounded size.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use etl::zones::processed::{self, RowsFile};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

/// A file of rows is closed once it has so many bytes.
pub(crate) const PART_BYTES: usize = 128 << 20;
/// Rows of a row group; wide ones are cut earlier, by their bytes.
const GROUP_ROWS: usize = 64 << 10;

/// What writing met.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The disk fails or is full.
    #[error("cannot write {}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    /// The rows cannot be written as what they should be.
    #[error("{0}")]
    Parquet(ParquetError),
    /// Two rows have one key, or they are not sorted.
    #[error("row {row} has a key that does not come after the one before it")]
    Order { row: u64 },
    /// The query failed.
    #[error("{0}")]
    Query(#[from] DataFusionError),
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::Disk { path, source }
}

fn parquet(path: &Path) -> impl FnOnce(ParquetError) -> WriteError {
    let path = path.to_owned();
    move |error| match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => WriteError::Disk {
                path,
                source: *source,
            },
            Err(source) => WriteError::Parquet(ParquetError::External(source)),
        },
        error => WriteError::Parquet(error),
    }
}

fn properties(group_bytes: usize) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(group_bytes))
}

/// One file that is being written.
pub(crate) struct FileWriter {
    path: PathBuf,
    writer: ArrowWriter<BufWriter<File>>,
    rows: u64,
}

impl FileWriter {
    /// A table of the scratch folder: read soon and once or twice.
    pub(crate) fn scratch(
        path: PathBuf,
        schema: SchemaRef,
        group_bytes: usize,
    ) -> Result<Self, WriteError> {
        let properties = properties(group_bytes)
            .set_dictionary_enabled(false)
            .build();
        Self::create(path, schema, properties)
    }

    fn rows(path: PathBuf, schema: SchemaRef, group_bytes: usize) -> Result<Self, WriteError> {
        let mut properties = properties(group_bytes);
        // Sorted, or nearly as many values as rows: a dictionary would be built and thrown away.
        for name in ["tweet_key", "created_at", "tweet_text", "hashtags"] {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
        }
        for name in ["tweet_key", "created_at"] {
            properties = properties.set_column_encoding(ColumnPath::from(name), Encoding::PLAIN);
        }
        Self::create(path, schema, properties.build())
    }

    fn create(
        path: PathBuf,
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self, WriteError> {
        let file = File::create(&path).map_err(disk(&path))?;
        // Without it readers go by the Parquet types: a text is a text, whatever holds it here.
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(BufWriter::new(file), schema, options)
            .map_err(parquet(&path))?;
        Ok(Self {
            path,
            writer,
            rows: 0,
        })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(parquet(&self.path))
    }

    fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// Ends the file, which is then on the disk. Returns its rows and bytes.
    pub(crate) fn finish(self) -> Result<(u64, u64), WriteError> {
        let buffered = self.writer.into_inner().map_err(parquet(&self.path))?;
        let file = buffered
            .into_inner()
            .map_err(|error| disk(&self.path)(error.into_error()))?;
        file.sync_all().map_err(disk(&self.path))?;
        let bytes = file.metadata().map_err(disk(&self.path))?.len();
        Ok((self.rows, bytes))
    }
}

/// The rows of a run, into numbered files in a folder, in the order of the key.
pub(crate) struct RowsWriter {
    folder: PathBuf,
    group_bytes: usize,
    file: Option<FileWriter>,
    files: Vec<RowsFile>,
    last: Option<[i64; 3]>,
    rows: u64,
}

impl RowsWriter {
    pub(crate) fn new(folder: PathBuf, group_bytes: usize) -> Result<Self, WriteError> {
        fs::create_dir_all(&folder).map_err(disk(&folder))?;
        Ok(Self {
            folder,
            group_bytes,
            file: None,
            files: Vec::new(),
            last: None,
            rows: 0,
        })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.check_order(batch)?;
        let batch = as_declared(batch).map_err(|error| WriteError::Parquet(error.into()))?;
        let mut file = if let Some(file) = self.file.take() {
            file
        } else {
            let path = self.folder.join(part_name(self.files.len()));
            FileWriter::rows(path, batch.schema(), self.group_bytes)?
        };
        file.write(&batch)?;
        if file.bytes() < PART_BYTES {
            self.file = Some(file);
        } else {
            self.close(file)?;
        }
        Ok(())
    }

    /// Ends the last file. Returns all of them.
    pub(crate) fn finish(mut self) -> Result<Vec<RowsFile>, WriteError> {
        if let Some(file) = self.file.take() {
            self.close(file)?;
        }
        Ok(self.files)
    }

    fn close(&mut self, file: FileWriter) -> Result<(), WriteError> {
        let (rows, size_bytes) = file.finish()?;
        self.files.push(RowsFile {
            name: part_name(self.files.len()),
            rows,
            size_bytes,
        });
        Ok(())
    }

    fn check_order(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let column = |index: usize| {
            let column = batch.columns().get(index)?;
            column.as_any().downcast_ref::<Int64Array>()
        };
        let (Some(users), Some(contacts), Some(tweets)) = (column(0), column(1), column(2)) else {
            let message = "the rows do not begin with three keys".to_owned();
            return Err(WriteError::Parquet(ParquetError::General(message)));
        };
        let keys = users
            .values()
            .iter()
            .zip(contacts.values())
            .zip(tweets.values());
        for ((user, contact), tweet) in keys {
            let key = Some([*user, *contact, *tweet]);
            if self.last >= key {
                return Err(WriteError::Order { row: self.rows });
            }
            self.last = key;
            self.rows += 1;
        }
        Ok(())
    }
}

fn part_name(number: usize) -> String {
    format!("part-{number:05}.parquet")
}

/// The same rows under the names of the processed zone, nothing of them null. Texts keep the form
/// they have in memory; in Parquet there is only one.
fn as_declared(batch: &RecordBatch) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let declared = processed::schema();
    let fields = declared.fields().iter().zip(batch.columns());
    let fields: Vec<Field> = fields
        .map(|(field, column)| {
            let is_text = field.data_type() == &arrow_schema::DataType::Utf8;
            let kind = if is_text {
                column.data_type()
            } else {
                field.data_type()
            };
            Field::new(field.name(), kind.clone(), false)
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), batch.columns().to_vec())
}

/// Writes what comes in a thread of its own, so that sorting goes on meanwhile.
pub(crate) fn write_rows(
    mut batches: tokio::sync::mpsc::Receiver<RecordBatch>,
    mut writer: RowsWriter,
) -> Result<Vec<RowsFile>, WriteError> {
    while let Some(batch) = batches.blocking_recv() {
        writer.write(&batch)?;
    }
    writer.finish()
}
