//! Where a zone lies: a local folder, or a prefix of an S3 bucket.
//!
//! Names inside a place are relative, with `/` between folders. What is written appears under its
//! name whole or not at all: in a folder by a temporary file beside it (`.NAME.tmp`) and a rename,
//! in a bucket by the upload's completion. A file in a bucket that must be read at random is fetched
//! first, into a file without a name in the folder for temporary files, so that nothing stays behind.

mod pending;
mod store;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use object_store::ObjectStore;

pub use self::pending::Pending;
use self::pending::temporary;
pub(super) use self::store::{Found, Store};
use crate::failure::{Failure, FailureKind};

/// Begin and end of temporary names.
const TEMPORARY: (&str, &str) = (".", ".tmp");

/// A folder or a prefix.
#[derive(Debug, Clone)]
pub struct Place {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Local(PathBuf),
    Store(Store),
}

/// A file in a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, from the place on.
    pub name: String,
    /// Bytes in it.
    pub size_bytes: u64,
    /// Changes with its content, as far as can be told without reading: the time of its last change
    /// in nanoseconds since 1970, or the object's entity tag.
    pub version: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Local(path) => write!(f, "{}", path.display()),
            Kind::Store(store) => write!(f, "{store}"),
        }
    }
}

impl Place {
    /// What an operator writes: a folder, or `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    ///
    /// It is neither, or the environment lacks what a bucket needs.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(rest) = text.strip_prefix("s3://") {
            return Ok(Self {
                kind: Kind::Store(Store::parse(rest)?),
            });
        }
        if text.is_empty() || text.contains("://") {
            let line = format!("{text:?}: expected a folder or s3://BUCKET/PREFIX");
            return Err(Failure::new(FailureKind::Usage, line));
        }
        Ok(Self::local(text))
    }

    /// A local folder, which may not exist yet.
    pub fn local(path: impl Into<PathBuf>) -> Self {
        Self {
            kind: Kind::Local(path.into()),
        }
    }

    /// The folder, if it is one.
    pub fn as_local(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Local(path) => Some(path),
            Kind::Store(_) => None,
        }
    }

    /// The bucket and a client for it, if the place is in one: for engines that read by themselves.
    pub fn as_bucket(&self) -> Option<(&str, Arc<dyn ObjectStore>)> {
        self.as_store().map(Store::bucket)
    }

    /// The bucket's prefix, if it is one.
    pub(super) fn as_store(&self) -> Option<&Store> {
        match &self.kind {
            Kind::Local(_) => None,
            Kind::Store(store) => Some(store),
        }
    }

    /// How people know a file of this place.
    pub fn describe(&self, name: &str) -> String {
        match &self.kind {
            Kind::Local(path) => path.join(name).display().to_string(),
            Kind::Store(store) => store.describe(name),
        }
    }

    /// The place by a name that holds in any folder: `s3://…`, or an absolute path without links.
    pub fn absolute(&self) -> String {
        match &self.kind {
            Kind::Local(path) => {
                // Put together again, so that nothing stands at its end.
                let path: PathBuf = resolved(path).components().collect();
                path.display().to_string()
            }
            Kind::Store(_) => self.to_string(),
        }
    }

    /// Whether another place is this one or lies in it.
    pub fn holds(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Local(own), Kind::Local(other)) => resolved(other).starts_with(resolved(own)),
            (Kind::Store(own), Kind::Store(other)) => own.holds(other),
            _ => false,
        }
    }

    /// All files under a folder of this place (`""` for all of it) whose names and folders do not
    /// begin with a dot, by name. A folder that does not exist has none.
    ///
    /// # Errors
    ///
    /// The place cannot be read.
    pub fn list(&self, under: &str) -> Result<Vec<Entry>, Failure> {
        let mut found = Vec::new();
        match &self.kind {
            Kind::Local(root) => {
                let failed = |error| self.unreadable(under, &error);
                walk(&root.join(under), under, &mut found).map_err(failed)?;
            }
            Kind::Store(store) => found = store.list(under)?,
        }
        found.sort();
        Ok(found)
    }

    /// Whether the place is there. A bucket's prefix always is.
    pub fn exists(&self) -> bool {
        match &self.kind {
            Kind::Local(path) => path.is_dir(),
            Kind::Store(_) => true,
        }
    }

    /// A small file whole; `None` if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has more than `limit` bytes.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let failed = |error: io::Error| self.unreadable(name, &error);
        let bytes = match &self.kind {
            Kind::Local(root) => {
                let file = match File::open(root.join(name)) {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                    opened => opened.map_err(failed)?,
                };
                let mut bytes = Vec::new();
                let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
                read.map_err(failed)?;
                bytes
            }
            Kind::Store(store) => return store.read(name, limit),
        };
        if bytes.len() as u64 > limit {
            let text = format!("it has more than {limit} bytes");
            return Err(failed(io::Error::new(ErrorKind::InvalidData, text)));
        }
        Ok(Some(bytes))
    }

    /// A file to be read from its begin to its end, as it was listed.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn stream(&self, entry: &Entry) -> io::Result<Box<dyn Read + Send>> {
        match &self.kind {
            Kind::Local(root) => Ok(Box::new(File::open(root.join(&entry.name))?)),
            Kind::Store(store) => Ok(Box::new(store.stream(entry)?)),
        }
    }

    /// A file to be read at random.
    ///
    /// # Errors
    ///
    /// It cannot be opened or fetched.
    pub fn open(&self, name: &str) -> Result<File, Failure> {
        match &self.kind {
            Kind::Local(root) => {
                File::open(root.join(name)).map_err(|error| self.unreadable(name, &error))
            }
            Kind::Store(store) => store.fetch(name),
        }
    }

    /// Begins a file. Its folder is made. Dropped before [`Pending::commit`], it never was.
    ///
    /// # Errors
    ///
    /// The place is read-only, full or broken.
    pub fn create(&self, name: &str) -> Result<Pending, Failure> {
        match &self.kind {
            Kind::Local(root) => {
                let target = root.join(name);
                let temporary = temporary(&target);
                let open = || {
                    fs::create_dir_all(target.parent().unwrap_or(root))?;
                    File::create(&temporary)
                };
                let file = open().map_err(|error| Failure::of_output(&self.describe(name), &error));
                Ok(Pending::new(file?, self, name, Some(temporary)))
            }
            Kind::Store(_) => {
                let file = store::nameless();
                let file = file.map_err(|error| Failure::of_output("a temporary file", &error));
                Ok(Pending::new(file?, self, name, None))
            }
        }
    }

    /// Writes a small file.
    ///
    /// # Errors
    ///
    /// The place is read-only, full or broken; the old file then stays.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut pending = self.create(name)?;
        let written = pending.write_all(bytes);
        written.map_err(|error| Failure::of_output(&self.describe(name), &error))?;
        pending.commit()
    }

    /// Removes a file, if there is one.
    ///
    /// # Errors
    ///
    /// The place is read-only or broken.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        match &self.kind {
            Kind::Local(root) => match fs::remove_file(root.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let line = format!("cannot remove {}: {error}", self.describe(name));
                    Err(Failure::new(FailureKind::Disk, line))
                }
                _ => Ok(()),
            },
            Kind::Store(store) => store.delete(name),
        }
    }

    /// Removes what writers that were killed left in a folder of this place. Nobody may be writing.
    ///
    /// # Errors
    ///
    /// The place is read-only or broken.
    pub fn sweep(&self, folder: &str) -> Result<(), Failure> {
        match &self.kind {
            Kind::Local(root) => {
                let listed = match fs::read_dir(root.join(folder)) {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                    listed => listed.map_err(|error| self.unreadable(folder, &error))?,
                };
                for entry in listed {
                    let entry = entry.map_err(|error| self.unreadable(folder, &error))?;
                    let name = entry.file_name();
                    let name = name.to_string_lossy();
                    if name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1) {
                        self.remove(&join(folder, &name))?;
                    }
                }
                Ok(())
            }
            // What was not completed is no object.
            Kind::Store(_) => Ok(()),
        }
    }

    fn unreadable(&self, name: &str, error: &io::Error) -> Failure {
        let line = format!("cannot read {}: {error}", self.describe(name));
        Failure::new(FailureKind::Input, line)
    }
}

/// A file anywhere, as the only one of its place.
///
/// # Errors
///
/// It is not there, or its name is not UTF-8.
pub fn raw_file(path: &Path) -> Result<(Place, Entry), Failure> {
    let failed = |text: String| {
        let line = format!("{}: {text}", path.display());
        Failure::new(FailureKind::Input, line)
    };
    let metadata = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| failed("this is no name of a file, in UTF-8".to_owned()))?;
    let entry = Entry {
        name: name.to_owned(),
        size_bytes: metadata.len(),
        version: version(&metadata),
    };
    Ok((Place::local(path.parent().unwrap_or(Path::new(""))), entry))
}

/// The path without links, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find_map(|known| {
        let real = fs::canonicalize(known).ok()?;
        Some(real.join(path.strip_prefix(known).ok()?))
    });
    found.unwrap_or(path)
}

/// A name inside a folder.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

fn walk(folder: &Path, name: &str, found: &mut Vec<Entry>) -> io::Result<()> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    for entry in listed {
        let entry = entry?;
        let own = entry.file_name();
        let Some(own) = own.to_str() else {
            let text = format!("the name {} is not UTF-8", own.display());
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        };
        if own.starts_with('.') {
            continue;
        }
        let name = join(name, own);
        // Links to files count as files; links to folders could lead in circles.
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &name, found)?;
            continue;
        }
        let metadata = match fs::metadata(entry.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        if metadata.is_file() {
            found.push(Entry {
                name,
                size_bytes: metadata.len(),
                version: version(&metadata),
            });
        }
    }
    Ok(())
}

/// The time of a file's last change, in nanoseconds.
fn version(metadata: &fs::Metadata) -> String {
    metadata
        .modified()
        .map_or_else(|_| String::new(), nanoseconds)
}

fn nanoseconds(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or_else(|_| String::new(), |since| since.as_nanos().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("etl-place-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Place::local(path)
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let place = place("commit");
        assert!(place.list("").unwrap().is_empty());
        let mut pending = place.create("a/b").unwrap();
        pending.write_all(b"new").unwrap();
        assert_eq!(place.read("a/b", 9).unwrap(), None);
        assert!(place.list("").unwrap().is_empty());
        drop(pending);
        assert!(
            fs::read_dir(place.as_local().unwrap().join("a"))
                .unwrap()
                .next()
                .is_none()
        );
        place.write("a/b", b"new").unwrap();
        assert_eq!(place.read("a/b", 9).unwrap().unwrap(), b"new");
        assert!(place.read("a/b", 2).is_err());
        assert_eq!(place.list("").unwrap()[0].name, "a/b");
        place.remove("a/b").unwrap();
        place.remove("a/b").unwrap();
        fs::remove_dir_all(place.as_local().unwrap()).unwrap();
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_up() {
        let place = place("sweep");
        place.write("t/kept", b"x").unwrap();
        fs::write(place.as_local().unwrap().join("t/.gone.tmp"), b"x").unwrap();
        place.sweep("t").unwrap();
        place.sweep("absent").unwrap();
        let left = fs::read_dir(place.as_local().unwrap().join("t")).unwrap();
        assert_eq!(left.count(), 1);
        fs::remove_dir_all(place.as_local().unwrap()).unwrap();
    }
}
