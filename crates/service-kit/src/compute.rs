//! A small bounded pool for work that would keep a worker's other connections waiting.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// How many jobs may wait for each one that runs. A burst of heavy requests is worked off rather
/// than refused: the deadline of requests ends what would take too long.
const WAITING_PER_THREAD: usize = 1024;

/// Runs heavy jobs on threads of their own, a bounded number at a time.
#[derive(Clone, Debug)]
pub struct ComputePool {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

/// As many jobs wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many heavy requests are waiting")]
pub struct PoolFull;

impl ComputePool {
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            running: Arc::new(Semaphore::new(threads)),
            admitted: Arc::new(Semaphore::new(threads * (1 + WAITING_PER_THREAD))),
        }
    }

    /// Runs a job and waits for its result. Dropped while the job waits, it is not run; dropped
    /// while it runs, its result is lost and its place is free when it ends.
    ///
    /// # Errors
    ///
    /// [`PoolFull`] at once when too many jobs wait already.
    ///
    /// # Panics
    ///
    /// When the job does: its request is then lost like any other whose handler panics.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolFull> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| PoolFull)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| PoolFull)?;
        let task = tokio::task::spawn_blocking(move || {
            let result = job();
            drop((running, admitted));
            result
        });
        match task.await {
            Ok(result) => Ok(result),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is being shut down, and this task with it.
                Err(_) => Err(PoolFull),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refuses_at_once_when_too_many_jobs_wait() {
        let pool = ComputePool::new(1);
        let (end, wait) = std::sync::mpsc::sync_channel::<()>(0);
        let blocker = pool.run(move || {
            let _ = wait.recv();
        });
        tokio::pin!(blocker);
        assert!(futures_poll(&mut blocker).await.is_none());
        let mut waiting: Vec<_> = (0..WAITING_PER_THREAD)
            .map(|number| Box::pin(pool.run(move || number)))
            .collect();
        for job in &mut waiting {
            assert!(futures_poll(job).await.is_none());
        }
        assert_eq!(pool.run(|| ()).await, Err(PoolFull));
        drop(end);
        assert_eq!(blocker.await, Ok(()));
        for (number, job) in waiting.into_iter().enumerate() {
            assert_eq!(job.await, Ok(number));
        }
    }

    #[tokio::test]
    async fn a_panicking_job_frees_its_place() {
        let pool = ComputePool::new(1);
        for _ in 0..100 {
            let pool = pool.clone();
            let panicked = tokio::spawn(async move {
                let job: fn() = || panic!("on purpose");
                pool.run(job).await
            });
            assert!(panicked.await.expect_err("it panics").is_panic());
        }
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }

    /// Polls a future once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
