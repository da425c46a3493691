//! Who gets memory when there is not enough.
//!
//! The engine's own fair pool gives each operator that can spill the same share, whether it needs it
//! or not: of thirty that a plan of several sorts has, two work at a time. Here they take what they
//! need until [`SPILLING_SHARE`] is used; the rest is kept for those that cannot spill, such as the
//! tables of joins and merges of spilled runs, and for the first batches of those that can.

use std::fmt;

use datafusion::common::resources_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of what the others leave, operators that spill may use so many percent.
const SPILLING_SHARE: usize = 70;
/// Of the pool, one of them may use this part whatever the others hold.
const FIRST_PART: usize = 32;

/// A pool of so many bytes.
#[derive(Debug)]
pub(crate) struct SharedPool {
    bytes: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    spilling: usize,
    holding: usize,
}

impl SharedPool {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            used: Mutex::default(),
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an operator that has `own` bytes may have more.
    fn may_grow(&self, used: &Used, can_spill: bool, own: usize, more: usize) -> bool {
        let free = self.bytes.saturating_sub(used.spilling + used.holding);
        if more > free {
            return false;
        }
        let left = self.bytes.saturating_sub(used.holding);
        let share = left / 100 * SPILLING_SHARE;
        !can_spill || used.spilling + more <= share || own + more <= self.bytes / FIRST_PART
    }
}

impl Used {
    fn of(&mut self, can_spill: bool) -> &mut usize {
        if can_spill {
            &mut self.spilling
        } else {
            &mut self.holding
        }
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared({} bytes)", self.bytes)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.used().of(reservation.consumer().can_spill()) += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut used = self.used();
        let part = used.of(reservation.consumer().can_spill());
        *part = part.saturating_sub(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let mut used = self.used();
        if !self.may_grow(&used, consumer.can_spill(), reservation.size(), additional) {
            return Err(resources_datafusion_err!(
                "{} has {} bytes and needs {additional} more; {} of {} are used",
                consumer.name(),
                reservation.size(),
                used.spilling + used.holding,
                self.bytes
            ));
        }
        *used.of(consumer.can_spill()) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let used = self.used();
        used.spilling + used.holding
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_spill_leave_room_for_those_that_cannot() {
        let pool = SharedPool::new(3200);
        let used = |spilling, holding| Used { spilling, holding };
        assert!(pool.may_grow(&used(0, 0), true, 0, 2240));
        assert!(!pool.may_grow(&used(0, 0), true, 0, 2241));
        assert!(pool.may_grow(&used(2240, 0), false, 0, 960));
        assert!(!pool.may_grow(&used(2240, 0), false, 0, 961));
        // A first batch fits as long as anything does.
        assert!(pool.may_grow(&used(2240, 0), true, 0, 100));
        assert!(!pool.may_grow(&used(2240, 0), true, 50, 100));
        // What others hold counts.
        assert!(!pool.may_grow(&used(700, 2200), true, 700, 1));
    }
}
