//! Open-loop send times, fixed before the run.
//!
//! Request number `i` of a run at `rate` a second is due `i / rate` seconds after the start,
//! whatever the target does. Integer arithmetic keeps that exact however long the run is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Requests a second, exact to a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_1000_s: u64,
}

/// Largest rate, in requests a second; what one machine can send is far below.
const MAX_PER_S: u64 = 10_000_000;

impl Rate {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    rate: Rate,
    len: u64,
}

impl Schedule {
    /// All sends that are due before `duration` is over, but at most `requests`.
    pub fn new(rate: Rate, duration: Duration, requests: Option<u64>) -> Self {
        // The first send after the end is number ceil(duration * rate).
        let sends = duration.as_nanos() * u128::from(rate.per_1000_s);
        let len = u64::try_from(sends.div_ceil(1_000_000_000_000)).unwrap_or(u64::MAX);
        Self {
            rate,
            len: requests.map_or(len, |requests| len.min(requests)),
        }
    }

    /// The rate.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Number of sends.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to send.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// When number `index` is due, after the start.
    pub fn at(&self, index: u64) -> Duration {
        let nanos = u128::from(index) * 1_000_000_000_000 / u128::from(self.rate.per_1000_s);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
