//! A prefix of an S3 bucket.
//!
//! Credentials, region and endpoint come from the environment as the AWS tools have them
//! (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT`,
//! `AWS_ALLOW_HTTP`; web identity and instance profiles too). No message repeats them.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek as _};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use std::{env, fs, process, thread};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, MultipartUpload as _, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use tokio::runtime::{Builder, Handle};

use super::Entry;
use crate::failure::{Failure, FailureKind};

/// Bytes that are fetched or sent at a time.
const PART_BYTES: u64 = 8 << 20;
/// How often a request is repeated, and for how long in all.
const RETRIES: usize = 5;
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest text of the service that is passed on.
const MAX_TEXT: usize = 300;

/// A prefix.
#[derive(Clone)]
pub(in crate::zones) struct Store {
    bucket: String,
    /// Without slashes at its ends; may be empty.
    prefix: String,
    client: Arc<dyn ObjectStore>,
    runtime: Handle,
}

/// An object's content and what names this state of it.
pub(in crate::zones) struct Found {
    pub(in crate::zones) bytes: Vec<u8>,
    pub(in crate::zones) version: UpdateVersion,
    pub(in crate::zones) changed: SystemTime,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.prefix)
    }
}

impl Store {
    /// From what follows `s3://`.
    pub(super) fn parse(rest: &str) -> Result<Self, Failure> {
        let usage = |text: String| {
            let line = format!("s3://{rest}: {text}");
            Failure::new(FailureKind::Usage, line)
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(usage("expected s3://BUCKET/PREFIX".to_owned()));
        }
        let prefix = prefix.trim_matches('/');
        let retry = RetryConfig {
            max_retries: RETRIES,
            retry_timeout: RETRY_TIMEOUT,
            ..RetryConfig::default()
        };
        let client = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_retry(retry)
            .build()
            .map_err(|error| usage(text(&error)))?;
        let runtime = runtime()
            .map_err(|error| Failure::new(FailureKind::Software, format!("no runtime: {error}")))?;
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            client: Arc::new(client),
            runtime,
        })
    }

    pub(super) fn bucket(&self) -> (&str, Arc<dyn ObjectStore>) {
        (&self.bucket, Arc::clone(&self.client))
    }

    pub(super) fn describe(&self, name: &str) -> String {
        if name.is_empty() {
            self.to_string()
        } else {
            format!("{self}/{name}")
        }
    }

    /// Whether another prefix is this one or lies in it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        let rest = other.prefix.strip_prefix(&self.prefix);
        let is_inside = rest
            .is_some_and(|rest| self.prefix.is_empty() || rest.is_empty() || rest.starts_with('/'));
        self.bucket == other.bucket && is_inside
    }

    pub(super) fn list(&self, under: &str) -> Result<Vec<Entry>, Failure> {
        let folder = self.path(under)?;
        let listed = self.client.list(Some(&folder)).try_collect();
        let listed: Vec<ObjectMeta> = self
            .runtime
            .block_on(listed)
            .map_err(|error| self.failure(under, &error))?;
        let cut = match self.prefix.len() {
            0 => 0,
            len => len + 1,
        };
        let mut entries = Vec::with_capacity(listed.len());
        for meta in listed {
            let name = meta.location.as_ref().get(cut..).unwrap_or_default();
            if name.split('/').any(|part| part.starts_with('.')) {
                continue;
            }
            entries.push(Entry {
                name: name.to_owned(),
                size_bytes: meta.size,
                version: tag(&meta),
            });
        }
        Ok(entries)
    }

    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.find(name, limit)?.map(|found| found.bytes))
    }

    /// An object and its version.
    pub(in crate::zones) fn find(&self, name: &str, limit: u64) -> Result<Option<Found>, Failure> {
        let path = self.path(name)?;
        let fetch = async {
            let got = self.client.get(&path).await?;
            if got.meta.size > limit {
                return Ok(None);
            }
            let meta = got.meta.clone();
            Ok(Some((got.bytes().await?, meta)))
        };
        match self.runtime.block_on(fetch) {
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failure(name, &error)),
            Ok(None) => {
                let line = format!("{} has more than {limit} bytes", self.describe(name));
                Err(Failure::new(FailureKind::Input, line))
            }
            Ok(Some((bytes, meta))) => Ok(Some(Found {
                bytes: bytes.to_vec(),
                version: UpdateVersion {
                    e_tag: meta.e_tag,
                    version: meta.version,
                },
                changed: meta.last_modified.into(),
            })),
        }
    }

    /// Writes a small object on a condition. `None` if it does not hold.
    pub(in crate::zones) fn put_if(
        &self,
        name: &str,
        bytes: Vec<u8>,
        mode: PutMode,
    ) -> Result<Option<UpdateVersion>, Failure> {
        let path = self.path(name)?;
        let options = PutOptions::from(mode);
        let put = self
            .client
            .put_opts(&path, PutPayload::from(bytes), options);
        match self.runtime.block_on(put) {
            Ok(put) => Ok(Some(UpdateVersion {
                e_tag: put.e_tag,
                version: put.version,
            })),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(None),
            Err(error) => Err(self.failure(name, &error)),
        }
    }

    /// Reads an object from its begin to its end, a part at a time, all of one version.
    pub(super) fn stream(&self, entry: &Entry) -> io::Result<Stream> {
        let path = self.path(&entry.name).map_err(io::Error::other)?;
        Ok(Stream {
            store: self.clone(),
            path,
            version: Some(entry.version.clone()).filter(|version| !version.is_empty()),
            size_bytes: entry.size_bytes,
            at: 0,
            part: Bytes::new(),
        })
    }

    /// Fetches an object into a file without a name.
    pub(super) fn fetch(&self, name: &str) -> Result<File, Failure> {
        let path = self.path(name)?;
        let meta = self.runtime.block_on(self.client.head(&path));
        let meta = meta.map_err(|error| self.failure(name, &error))?;
        let mut stream = Stream {
            store: self.clone(),
            path,
            version: meta.e_tag,
            size_bytes: meta.size,
            at: 0,
            part: Bytes::new(),
        };
        let mut fetch = || {
            let mut file = nameless()?;
            io::copy(&mut stream, &mut file)?;
            file.rewind()?;
            Ok(file)
        };
        fetch().map_err(|error: io::Error| {
            let line = format!("cannot fetch {}: {error}", self.describe(name));
            let is_disk = error.raw_os_error().is_some();
            Failure::new(
                if is_disk {
                    FailureKind::Disk
                } else {
                    FailureKind::Unavailable
                },
                line,
            )
        })
    }

    /// Sends a file. The object is there once all of it is.
    pub(super) fn send(&self, name: &str, file: &mut File) -> Result<(), Failure> {
        let path = self.path(name)?;
        let disk = |error: io::Error| {
            let line = format!("cannot read back {}: {error}", self.describe(name));
            Failure::new(FailureKind::Disk, line)
        };
        file.rewind().map_err(disk)?;
        let mut next = || {
            let mut part = Vec::new();
            Read::by_ref(file).take(PART_BYTES).read_to_end(&mut part)?;
            Ok(part)
        };
        let send = async {
            let failed = |error: &Error| self.failure(name, error);
            let mut part = next().map_err(disk)?;
            if (part.len() as u64) < PART_BYTES {
                let put = self.client.put(&path, PutPayload::from(part)).await;
                return put.map(drop).map_err(|error| failed(&error));
            }
            let mut upload = self
                .client
                .put_multipart(&path)
                .await
                .map_err(|error| failed(&error))?;
            let mut sent = Ok(());
            while sent.is_ok() && !part.is_empty() {
                sent = upload
                    .put_part(PutPayload::from(part))
                    .await
                    .map_err(|error| failed(&error));
                part = next().map_err(disk)?;
            }
            if sent.is_ok() {
                sent = upload
                    .complete()
                    .await
                    .map(drop)
                    .map_err(|error| failed(&error));
            }
            if sent.is_err() {
                // What cannot be taken back is invisible, and the bucket's rules remove it.
                let _ = upload.abort().await;
            }
            sent
        };
        self.runtime.block_on(send)
    }

    pub(in crate::zones) fn delete(&self, name: &str) -> Result<(), Failure> {
        let path = self.path(name)?;
        match self.runtime.block_on(self.client.delete(&path)) {
            Err(error) if !matches!(error, Error::NotFound { .. }) => {
                Err(self.failure(name, &error))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> Result<Path, Failure> {
        let whole = super::join(&self.prefix, name);
        Path::parse(whole.trim_end_matches('/')).map_err(|error| {
            let line = format!("{}: {error}", self.describe(name));
            Failure::new(FailureKind::Input, line)
        })
    }

    fn failure(&self, name: &str, error: &Error) -> Failure {
        let kind = match error {
            Error::NotFound { .. } => FailureKind::Input,
            _ => FailureKind::Unavailable,
        };
        Failure::new(kind, format!("{}: {}", self.describe(name), text(error)))
    }

    fn get(&self, path: &Path, range: Range<u64>, version: Option<&str>) -> io::Result<Bytes> {
        let options = GetOptions::new()
            .with_range(Some(range))
            .with_if_match(version);
        let fetch = async { self.client.get_opts(path, options).await?.bytes().await };
        self.runtime.block_on(fetch).map_err(|error| match error {
            Error::Precondition { .. } => {
                io::Error::new(ErrorKind::InvalidData, "it changed while it was read")
            }
            error => io::Error::other(text(&error)),
        })
    }
}

/// An object that is read from its begin to its end.
pub(super) struct Stream {
    store: Store,
    path: Path,
    version: Option<String>,
    size_bytes: u64,
    at: u64,
    part: Bytes,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty() {
            let end = self.at.saturating_add(PART_BYTES).min(self.size_bytes);
            if self.at >= end {
                return Ok(0);
            }
            let range = self.at..end;
            self.part = self.store.get(&self.path, range, self.version.as_deref())?;
            if self.part.len() as u64 != end - self.at {
                let text = "the service sent another number of bytes than was asked for";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
            }
            self.at = end;
        }
        let len = self.part.len().min(buffer.len());
        let taken = self.part.split_to(len);
        let (own, _) = buffer.split_at_mut(len);
        own.copy_from_slice(&taken);
        Ok(len)
    }
}

/// The one thread that waits for the network, begun with the first bucket. Callers drive their own
/// requests.
fn runtime() -> io::Result<Handle> {
    static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);
    let mut known = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*known {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let wait = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new()
        .name("etl-store".to_owned())
        .spawn(wait)?;
    *known = Some(handle.clone());
    Ok(handle)
}

/// An empty file in the folder for temporary files, whose name is gone already.
pub(super) fn nameless() -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = env::temp_dir().join(format!("etl-part-{}-{number}", process::id()));
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(path)?;
    Ok(file)
}

/// What the service said, short and without credentials.
fn text(error: &Error) -> String {
    let mut text = error.to_string().replace(['\n', '\r'], " ");
    for name in [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
    ] {
        if let Ok(value) = env::var(name)
            && !value.is_empty()
        {
            text = text.replace(&value, "***");
        }
    }
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn tag(meta: &ObjectMeta) -> String {
    meta.e_tag.clone().unwrap_or_else(|| {
        let time = SystemTime::from(meta.last_modified);
        super::nanoseconds(time)
    })
}
