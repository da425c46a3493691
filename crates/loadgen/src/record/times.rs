//! Times of one kind: a histogram, and its packed form for files and long timelines.

use std::fmt;
use std::time::Duration;

use base64_simd::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// Times are exact to three digits from a microsecond on.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Times below are told apart to half of this, in nanoseconds.
const MIN_NANOS: u64 = 1000;
/// Largest time that is told apart, in nanoseconds: five days, which is more than a request can wait in
/// the longest schedule with the longest timeouts.
const MAX_NANOS: u64 = 5 * 24 * 3600 * 1_000_000_000;
/// Largest packed histogram that is read, in characters: every count at its longest is less.
const MAX_PACKED_CHARS: usize = 1 << 20;

/// Times of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(MIN_NANOS, MAX_NANOS, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are legal"))
    }
}

impl Times {
    /// Counts a time.
    pub fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    /// Adds the times of another thread.
    #[expect(
        clippy::missing_panics_doc,
        reason = "all have equal bounds, so that nothing is out of range"
    )]
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("equal bounds");
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        if !self.0.is_empty() {
            self.0.reset();
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A percentile in milliseconds, from 0 to 100; 0 without times.
    pub fn percentile_ms(&self, percentile: f64) -> f64 {
        ms(self.0.value_at_percentile(percentile).min(self.0.max()))
    }

    /// The mean in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.0.mean() / 1e6
    }

    /// The shortest in milliseconds.
    pub fn min_ms(&self) -> f64 {
        ms(self.0.min())
    }

    /// The longest in milliseconds.
    pub fn max_ms(&self) -> f64 {
        ms(self.0.max())
    }

    /// Different times in nanoseconds, ascending, and how many there are of each.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let recorded = self.0.iter_recorded();
        recorded.map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// The histogram itself, in nanoseconds.
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// The packed form.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a histogram of these bounds fits any memory, and memory does not refuse writes"
    )]
    pub fn pack(&self) -> PackedTimes {
        if self.is_empty() {
            return PackedTimes::default();
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .expect("counts below 2^63, written to memory");
        PackedTimes(STANDARD.encode_to_string(bytes).into_boxed_str())
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// A histogram as a line of text: HdrHistogram's compressed format, version 2, in base64. Of
/// nothing it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackedTimes(Box<str>);

/// A text that is no packed histogram of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenTimes;

impl fmt::Display for BrokenTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a histogram of this program")
    }
}

impl std::error::Error for BrokenTimes {}

impl PackedTimes {
    /// Whether there are no times.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The histogram.
    ///
    /// # Errors
    ///
    /// When the text was not made by [`Times::pack`].
    pub fn unpack(&self) -> Result<Times, BrokenTimes> {
        if self.0.is_empty() {
            return Ok(Times::default());
        }
        if self.0.len() > MAX_PACKED_CHARS {
            return Err(BrokenTimes);
        }
        let bytes = STANDARD.decode_to_vec(self.0.as_bytes());
        let bytes = bytes.map_err(|_| BrokenTimes)?;
        let histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|_| BrokenTimes)?;
        if histogram.low() != MIN_NANOS
            || histogram.high() != MAX_NANOS
            || histogram.sigfig() != SIGNIFICANT_DIGITS
        {
            return Err(BrokenTimes);
        }
        Ok(Times(histogram))
    }

    /// Adds other times. What is broken counts as nothing: whoever reads files checks them first.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        if let (Ok(mut times), Ok(more)) = (self.unpack(), other.unpack()) {
            times.merge(&more);
            *self = times.pack();
        }
    }
}

/// Files hold times packed.
impl Serialize for Times {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.pack().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let packed = PackedTimes::deserialize(deserializer)?;
        packed.unpack().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PackedTimes, Times};

    fn times(micros: &[u64]) -> Times {
        let mut times = Times::default();
        for &time in micros {
            times.add(Duration::from_micros(time));
        }
        times
    }

    #[test]
    fn packed_times_are_the_same_and_add_without_loss() {
        let (one, two) = (times(&[1, 5, 900, 1_000_000]), times(&[5, 700_000_000]));
        assert_eq!(one.pack().unpack().unwrap(), one);
        assert!(times(&[]).pack().is_empty());
        assert_eq!(times(&[]).pack().unpack().unwrap(), times(&[]));
        let mut packed = PackedTimes::default();
        packed.merge(&one.pack());
        packed.merge(&two.pack());
        packed.merge(&PackedTimes::default());
        let mut both = one;
        both.merge(&two);
        assert_eq!(packed.unpack().unwrap(), both);
        assert_eq!(both.counts().map(|(_, count)| count).sum::<u64>(), 6);
    }

    #[test]
    fn the_longest_waits_are_told_apart() {
        // A schedule of a day, and a connect and an exchange of a day each.
        let mut long = Times::default();
        long.add(Duration::from_hours(72));
        assert!((long.max_ms() / 1e3 / 3600.0 - 72.0).abs() < 0.1);
        assert_eq!(long.pack().unpack().unwrap(), long);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["x", "AAAA", "HISTFAAAABx42pNpmSzMwMDAxAABzFCaEUoz2X+AMIQB"] {
            assert!(PackedTimes(text.into()).unpack().is_err(), "{text}");
        }
    }
}
