//! Open-loop send times, fixed before the run.
//!
//! A schedule is a row of stages. In a stage of constant rate, request number `i` is due `i / rate`
//! seconds after its begin, whatever the target does; in a ramp requests come closer and closer.
//! Integer arithmetic keeps constant rates exact however long the run is.

mod stage;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub use stage::{Stage, parse_stages};

pub(crate) use stage::check_stages;

/// Requests a second, exact to a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    per_1000_s: u64,
}

/// Largest rate, in requests a second; what one machine can send is far below.
const MAX_PER_S: u64 = 10_000_000;
/// What a request weighs in the sums below: twice a thousandth of a request in a nanosecond, so
/// that the area under a ramp is a whole number.
const WEIGHT: u128 = 2_000_000_000_000;

impl Rate {
    /// Nothing is sent; only a stage may have it.
    pub const ZERO: Self = Self { per_1000_s: 0 };

    /// A rate of so many requests a second, if that is one.
    pub fn new(per_second: f64) -> Option<Self> {
        let scaled = (per_second * 1000.0).round();
        #[expect(clippy::cast_precision_loss, reason = "a small constant")]
        let limit = (MAX_PER_S * 1000) as f64;
        if !(1.0..=limit).contains(&scaled) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number within the limits above"
        )]
        let per_1000_s = scaled as u64;
        Some(Self { per_1000_s })
    }

    /// Requests a second, for people.
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    pub fn per_second(self) -> f64 {
        self.per_1000_s as f64 / 1000.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.per_second())
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a rate is a number of requests a second above 0, up to 10000000, with at most three decimals";
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 3 {
            return Err(wrong);
        }
        let whole: u64 = whole.parse().map_err(|_| wrong)?;
        let part: u64 = format!("{part:0<3}").parse().map_err(|_| wrong)?;
        match (whole, part) {
            (0, 0) | (MAX_PER_S.., _) if (whole, part) != (MAX_PER_S, 0) => Err(wrong),
            _ => Ok(Self {
                per_1000_s: whole * 1000 + part,
            }),
        }
    }
}

/// When each request is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    parts: Arc<[Part]>,
    len: u64,
}

/// A stage in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    stage: Stage,
    /// When it begins.
    start: Duration,
    /// Weight of what is due before it.
    before: u128,
    /// The first request that is due in it, or after it if there is none.
    first: u64,
}

impl Schedule {
    /// All sends that are due before `duration` is over, but at most `requests`.
    pub fn new(rate: Rate, duration: Duration, requests: Option<u64>) -> Self {
        Self::staged(&[Stage::constant(rate, duration)], requests)
    }

    /// One stage after another, but at most `requests` in all.
    pub fn staged(stages: &[Stage], requests: Option<u64>) -> Self {
        let (mut start, mut before) = (Duration::ZERO, 0_u128);
        let parts: Vec<Part> = stages
            .iter()
            .map(|stage| {
                let part = Part {
                    stage: stage.clone(),
                    start,
                    before,
                    first: number(before),
                };
                start = start.saturating_add(stage.duration);
                before = before.saturating_add(stage.weight());
                part
            })
            .collect();
        let len = number(before);
        Self {
            parts: parts.into(),
            len: requests.map_or(len, |requests| len.min(requests)),
        }
    }

    /// Its stages, in their order.
    pub fn stages(&self) -> impl ExactSizeIterator<Item = &Stage> {
        self.parts.iter().map(|part| &part.stage)
    }

    /// The rate, unless it changes.
    pub fn rate(&self) -> Option<Rate> {
        match &*self.parts {
            [only] if only.stage.from == only.stage.to => Some(only.stage.from),
            _ => None,
        }
    }

    /// Number of sends.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to send.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// From the start to the end of the last stage, or to when the first request would be due
    /// that is beyond the number wanted.
    pub fn duration(&self) -> Duration {
        let Some(last) = self.parts.last() else {
            return Duration::ZERO;
        };
        if self.len < number(last.before.saturating_add(last.stage.weight())) {
            return self.at(self.len);
        }
        last.start.saturating_add(last.stage.duration)
    }

    /// The stage in which a request is due.
    pub fn stage_of(&self, index: u64) -> usize {
        let later = self.parts.partition_point(|part| part.first <= index);
        // Of stages in which nothing is due, those at one place begin with the same request.
        later.saturating_sub(1)
    }

    /// Number of sends that are due in a stage.
    pub fn sends_in(&self, stage: usize) -> u64 {
        let end = self
            .parts
            .get(stage + 1)
            .map_or(self.len, |part| part.first);
        let first = self.parts.get(stage).map_or(end, |part| part.first);
        end.min(self.len).saturating_sub(first.min(self.len))
    }

    /// When number `index` is due, after the start.
    pub fn at(&self, index: u64) -> Duration {
        let place = if self.parts.len() == 1 {
            0
        } else {
            self.stage_of(index)
        };
        let Some(part) = self.parts.get(place) else {
            return Duration::ZERO;
        };
        let weight = (u128::from(index) * WEIGHT).saturating_sub(part.before);
        part.start.saturating_add(part.stage.due(weight))
    }
}

/// How many requests are due before so much weight is reached.
fn number(weight: u128) -> u64 {
    u64::try_from(weight.div_ceil(WEIGHT)).unwrap_or(u64::MAX)
}
