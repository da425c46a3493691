//! Spreads connections over the workers.
//!
//! The kernel deals connections out by a hash of their addresses. Over thousands that comes out
//! even; over few, such as a load balancer keeps to each of its targets, it does not: of eight
//! connections to two workers, one gets six or more in three cases of ten, and has a full core
//! while the other rests. So the worker that accepted a connection hands it to the one with the most
//! room, if that is much more than its own. This costs a wake-up for a connection, nothing for a
//! request.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that may be on their way to a worker. It takes them as soon as it runs; when there
/// are more, who accepted them keeps them.
const ON_THE_WAY: usize = 64;

/// A connection and its place among those of the worker that will serve it.
#[derive(Debug)]
pub(crate) struct Placed {
    stream: std::net::TcpStream,
    slot: OwnedSemaphorePermit,
}

impl Placed {
    /// The stream, in the runtime that this is called in; `None` if that cannot take it.
    pub(crate) fn settle(self) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let stream = TcpStream::from_std(self.stream).ok()?;
        Some((stream, self.slot))
    }
}

/// What all workers know of one.
#[derive(Debug)]
struct Worker {
    /// One for each connection that it may have; those left over are its room.
    slots: Arc<Semaphore>,
    inbox: Sender<Placed>,
}

/// A worker's end.
#[derive(Debug)]
pub(crate) struct Spread {
    index: usize,
    connections: usize,
    workers: Arc<[Worker]>,
    /// What the others accepted for this one.
    pub(crate) inbox: Receiver<Placed>,
}

/// One for each worker, which may have so many connections.
pub(crate) fn over(workers: usize, connections: usize) -> Vec<Spread> {
    let (workers, inboxes): (Vec<_>, Vec<_>) = (0..workers)
        .map(|_| {
            let slots = Arc::new(Semaphore::new(connections));
            let (sender, inbox) = mpsc::channel(ON_THE_WAY);
            let worker = Worker {
                slots,
                inbox: sender,
            };
            (worker, inbox)
        })
        .unzip();
    let workers: Arc<[Worker]> = workers.into();
    let ends = inboxes.into_iter().enumerate();
    ends.map(|(index, inbox)| Spread {
        index,
        connections,
        workers: Arc::clone(&workers),
        inbox,
    })
    .collect()
}

impl Spread {
    /// This worker's places.
    pub(crate) fn slots(&self) -> &Arc<Semaphore> {
        &self.workers[self.index].slots
    }

    /// Hands a connection that this worker accepted, and has a place for, to another with more
    /// room; gives it back if there is none.
    pub(crate) fn place(
        &self,
        stream: TcpStream,
        slot: OwnedSemaphorePermit,
    ) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let room = self.slots().available_permits();
        let others = self.workers.iter().enumerate();
        let others = others.filter(|(index, _)| *index != self.index);
        let most = others.max_by_key(|(_, other)| other.slots.available_permits());
        let Some((_, other)) = most else {
            return Some((stream, slot));
        };
        let open = self.connections.saturating_sub(room);
        if !pays(open, room, other.slots.available_permits()) {
            return Some((stream, slot));
        }
        let Ok(place) = other.inbox.try_reserve() else {
            return Some((stream, slot));
        };
        let Ok(slot_there) = Arc::clone(&other.slots).try_acquire_owned() else {
            return Some((stream, slot));
        };
        match stream.into_std() {
            Ok(stream) => place.send(Placed {
                stream,
                slot: slot_there,
            }),
            // It is closed by this. Taking a socket out of epoll does not fail.
            Err(error) => tracing::warn!(%error, "cannot hand a connection over"),
        }
        None
    }
}

/// Whether the other's room is so much larger that handing over evens it out: by two, as one would
/// only swap the roles, and of many connections by more than an eighth of them.
const fn pays(open: usize, room: usize, other_room: usize) -> bool {
    other_room >= room.saturating_add(2).saturating_add(open / 8)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Accepts so many connections on the first worker, which keeps what it does not hand over.
    async fn accept(
        spreads: &[Spread],
        count: usize,
    ) -> (Vec<TcpStream>, Vec<(TcpStream, OwnedSemaphorePermit)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut clients, mut kept) = (Vec::new(), Vec::new());
        for _ in 0..count {
            clients.push(TcpStream::connect(address).await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            let slots = Arc::clone(spreads[0].slots());
            let slot = slots.acquire_owned().await.unwrap();
            kept.extend(spreads[0].place(stream, slot));
        }
        (clients, kept)
    }

    fn open(spreads: &[Spread]) -> Vec<usize> {
        let open = |spread: &Spread| spread.connections - spread.slots().available_permits();
        spreads.iter().map(open).collect()
    }

    #[tokio::test]
    async fn few_connections_are_spread_evenly() {
        let mut spreads = over(4, 100);
        let (_clients, kept) = accept(&spreads, 8).await;
        assert_eq!(open(&spreads), [2, 2, 2, 2]);
        assert_eq!(kept.len(), 2);
        let (stream, slot) = spreads[1].inbox.recv().await.unwrap().settle().unwrap();
        assert!(stream.nodelay().is_ok());
        drop((stream, slot));
        assert_eq!(open(&spreads), [2, 1, 2, 2]);
    }

    #[tokio::test]
    async fn one_worker_keeps_all() {
        let spreads = over(1, 100);
        let (_clients, kept) = accept(&spreads, 3).await;
        assert_eq!(kept.len(), 3);
    }

    #[tokio::test]
    async fn what_a_worker_that_stops_does_not_take_is_kept() {
        let mut spreads = over(2, 100);
        spreads[1].inbox.close();
        let (_clients, kept) = accept(&spreads, 5).await;
        assert_eq!(kept.len(), 5);
        assert_eq!(open(&spreads), [5, 0]);
        assert!(spreads[1].inbox.recv().await.is_none());
    }

    #[tokio::test]
    async fn no_more_are_handed_over_than_the_other_may_have() {
        let spreads = over(2, 4);
        let taken = Arc::clone(spreads[1].slots()).try_acquire_many_owned(3);
        let (_clients, kept) = accept(&spreads, 4).await;
        assert_eq!(open(&spreads), [4, 3]);
        assert_eq!(kept.len(), 4);
        drop(taken);
    }

    #[test]
    fn small_differences_among_many_are_left_alone() {
        assert!(pays(2, 98, 100));
        assert!(!pays(2, 98, 99));
        assert!(!pays(800, 200, 301));
        assert!(pays(800, 200, 302));
    }
}
