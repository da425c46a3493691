//! One writer in a zone at a time.
//!
//! In a folder the lock is the system's own on the file `.lock`, which ends with the process that
//! holds it, however that ends: nothing is ever stale. The file stays and holds the writer's process
//! and host, for messages. In a bucket it is an object that the writer renews; one of a process that
//! is gone from this host, or that was not renewed for two minutes, is taken over.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use object_store::{PutMode, UpdateVersion};

use super::place::{Found, Place, Store};
use crate::failure::{Failure, FailureKind};

/// Name of the lock's file.
const LOCK: &str = ".lock";
/// A process id and a host's name.
const MAX_HOLDER_BYTES: u64 = 512;

/// How long a bucket's lock holds without being renewed.
const LEASE: Duration = Duration::from_mins(2);
/// Pause between two renewals.
const RENEWAL: Duration = Duration::from_secs(20);

/// A zone that nobody else writes into while this lives.
#[derive(Debug)]
pub struct Lock {
    held: Option<File>,
    is_exclusive: bool,
    lease: Option<Lease>,
}

/// Renews a bucket's lock until dropped.
#[derive(Debug)]
struct Lease {
    /// Nothing is ever sent; its end is the message.
    stop: Option<SyncSender<()>>,
    renewer: Option<JoinHandle<()>>,
}

impl Lock {
    /// For writing: nobody else reads or writes. The folder is made.
    ///
    /// # Errors
    ///
    /// Another run is in the zone, or the place is read-only or broken.
    pub fn exclusive(place: &Place) -> Result<Self, Failure> {
        if let Some(store) = place.as_store() {
            return Ok(Self {
                held: None,
                is_exclusive: true,
                lease: Some(lease(place, store)?),
            });
        }
        let Some(root) = place.as_local() else {
            return Ok(Self::none());
        };
        let failed = |error| Failure::of_output(&place.describe(LOCK), &error);
        fs::create_dir_all(root).map_err(failed)?;
        let mut file = open(root, true).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(place, &mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let holder = holder();
        let written = file
            .set_len(0)
            .and_then(|()| file.write_all(holder.as_bytes()));
        written.map_err(failed)?;
        Ok(Self {
            held: Some(file),
            is_exclusive: true,
            lease: None,
        })
    }

    /// For reading: others may read, nobody writes. In a folder that cannot be written there is no
    /// lock, and nobody who could need it.
    ///
    /// # Errors
    ///
    /// Another run writes into the zone.
    pub fn shared(place: &Place) -> Result<Self, Failure> {
        if let Some(found) = place
            .as_store()
            .map(|store| store.find(LOCK, MAX_HOLDER_BYTES))
            && let Some(found) = found?
            && !is_stale(&found)
        {
            return Err(in_use(place, &String::from_utf8_lossy(&found.bytes)));
        }
        let Some(root) = place.as_local() else {
            return Ok(Self::none());
        };
        let opened = open(root, true).or_else(|_| open(root, false));
        let Ok(mut file) = opened else {
            return Ok(Self::none());
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(busy(place, &mut file)),
            _ => Ok(Self {
                held: Some(file),
                is_exclusive: false,
                lease: None,
            }),
        }
    }

    fn none() -> Self {
        Self {
            held: None,
            is_exclusive: false,
            lease: None,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(renewer) = self.renewer.take() {
            let _ = renewer.join();
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.lease.take());
        if let Some(file) = self.held.take() {
            if self.is_exclusive {
                // Only for messages.
                let _ = file.set_len(0);
            }
            // Closing it is not enough: a program that another thread is just starting has a copy of it for a
            // moment, until it is that program.
            let _ = file.unlock();
        }
    }
}

fn open(root: &Path, write: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(write)
        .create(write)
        .truncate(false);
    options.open(root.join(LOCK))
}

fn busy(place: &Place, file: &mut File) -> Failure {
    let mut holder = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(MAX_HOLDER_BYTES).read_to_string(&mut holder));
    match read {
        Ok(_) => in_use(place, &holder),
        Err(_) => in_use(place, ""),
    }
}

fn in_use(place: &Place, holder: &str) -> Failure {
    let holder = match holder.trim() {
        "" => "another process",
        holder => holder,
    };
    let line = format!("{place} is in use by {holder}; wait for it to end, or end it");
    Failure::new(FailureKind::Busy, line)
}

/// This process, for messages and for telling whether it still runs.
fn holder() -> String {
    format!("process {} on {}\n", process::id(), host())
}

/// Takes a bucket's lock and goes on renewing it.
fn lease(place: &Place, store: &Store) -> Result<Lease, Failure> {
    let put = |mode| store.put_if(LOCK, holder().into_bytes(), mode);
    let mut taken = put(PutMode::Create)?;
    if taken.is_none()
        && let Some(found) = store.find(LOCK, MAX_HOLDER_BYTES)?
    {
        if !is_stale(&found) {
            return Err(in_use(place, &String::from_utf8_lossy(&found.bytes)));
        }
        taken = put(PutMode::Update(found.version))?;
    }
    let version = taken.ok_or_else(|| in_use(place, ""))?;
    let (stop, stopped) = sync_channel(0);
    let store = store.clone();
    let renew = move || {
        let mut version = version;
        while stopped.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
            let mode = PutMode::Update(version.clone());
            match store.put_if(LOCK, holder().into_bytes(), mode) {
                Ok(Some(renewed)) => version = renewed,
                // Somebody else has it, after a pause longer than a lease.
                Ok(None) => return,
                Err(_) => {}
            }
        }
        release(&store, &version);
    };
    let renewer = thread::Builder::new()
        .name("etl-lease".to_owned())
        .spawn(renew);
    let renewer = renewer.map_err(|error| {
        Failure::new(
            FailureKind::Software,
            format!("no thread for the lock: {error}"),
        )
    })?;
    Ok(Lease {
        stop: Some(stop),
        renewer: Some(renewer),
    })
}

/// Removes the lock, if it is still ours. One that stays is stale once this process is gone.
fn release(store: &Store, version: &UpdateVersion) {
    if let Ok(Some(found)) = store.find(LOCK, MAX_HOLDER_BYTES)
        && found.version.e_tag == version.e_tag
    {
        let _ = store.delete(LOCK);
    }
}

fn is_stale(found: &Found) -> bool {
    let age = SystemTime::now().duration_since(found.changed);
    if age.is_ok_and(|age| age > LEASE) {
        return true;
    }
    // A process of this host that is gone; or of our own number, in a container that was started again.
    let holder = String::from_utf8_lossy(&found.bytes);
    let process = holder
        .trim()
        .strip_prefix("process ")
        .and_then(|rest| rest.strip_suffix(&format!(" on {}", host())));
    let process: Option<u32> = process.and_then(|number| number.parse().ok());
    process.is_some_and(|process| {
        process == process::id() || !Path::new(&format!("/proc/{process}")).exists()
    })
}

/// The name of this host.
fn host() -> String {
    match fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) => name.trim().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => "this host".to_owned(),
        Err(_) => "an unknown host".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_or_many_read() {
        let root = std::env::temp_dir().join(format!("etl-lock-{}", process::id()));
        let place = Place::local(&root);
        let writer = Lock::exclusive(&place).unwrap();
        for refused in [Lock::exclusive(&place), Lock::shared(&place)] {
            let failure = refused.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Busy);
            let process = format!("process {} on ", process::id());
            assert!(failure.line.contains(&process), "{failure}");
        }
        drop(writer);
        let readers = (Lock::shared(&place).unwrap(), Lock::shared(&place).unwrap());
        assert!(Lock::exclusive(&place).is_err());
        drop(readers);
        let last = Lock::exclusive(&place).unwrap();
        let inherited = last.held.as_ref().unwrap().try_clone().unwrap();
        drop(last);
        drop(Lock::exclusive(&place).expect("free, whoever has a copy of the file"));
        drop(inherited);
        fs::remove_dir_all(root).unwrap();
        // A zone that is not there yet has no writer.
        assert!(Lock::shared(&place).is_ok());
    }
}
