//! How much of a thread checks may take.

use std::cell::Cell;
use std::time::Duration;

use crate::random::Random;

/// Part of a thread's time for checks: one of so many.
const PART: u32 = 5;
/// What can be saved up, for bursts.
const MOST: Duration = Duration::from_millis(50);
/// What one check costs at most: a longer one waited for a processor.
const DEAREST: Duration = Duration::from_micros(500);

/// Time for checks, earned by the clock and spent by checks. While there is plenty every reply is
/// checked; the less is left the fewer are, drawn at random, so that none is favoured.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<Duration>,
    earned_at: Cell<Duration>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: Cell::new(MOST),
            earned_at: Cell::new(Duration::ZERO),
        }
    }
}

impl Budget {
    /// Whether the next reply is checked.
    pub(super) fn allows(&self, now: Duration, random: &mut Random) -> bool {
        let earned = now.saturating_sub(self.earned_at.get()) / PART;
        self.earned_at.set(now);
        let left = self.left.get().saturating_add(earned).min(MOST);
        self.left.set(left);
        left * 2 >= MOST || random.chance(2.0 * left.as_secs_f64() / MOST.as_secs_f64())
    }

    /// Counts what a check took.
    pub(super) fn spend(&self, took: Duration) {
        let left = self.left.get();
        self.left.set(left.saturating_sub(took.min(DEAREST)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Budget;
    use crate::random::Random;

    /// How many of 10,000 replies in 1 s are checked when a check takes so long.
    fn checked(micros: u64) -> usize {
        let (budget, mut random) = (Budget::default(), Random::new(1));
        let replies = 0..10_000_u64;
        let checked = replies.filter(|reply| {
            let is_checked = budget.allows(Duration::from_micros(reply * 100), &mut random);
            if is_checked {
                budget.spend(Duration::from_micros(micros));
            }
            is_checked
        });
        checked.count()
    }

    #[test]
    fn cheap_checks_are_all_made_and_dear_ones_take_a_fifth_of_the_time() {
        assert_eq!(checked(1), 10_000);
        assert_eq!(checked(20), 10_000);
        // 200 ms, and the 50 ms at hand.
        let dear = checked(100);
        assert!((2000..2500).contains(&dear), "{dear}");
    }
}
