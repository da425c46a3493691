//! A stretch of time with one rate, or with a rate that rises or falls evenly.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Rate;
use crate::units;

/// Most stages of a schedule.
const MAX_STAGES: usize = 64;
/// Longest schedule.
const MAX_TIME: Duration = Duration::from_hours(48);

/// A stretch of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// For reports; rates and time without one.
    pub name: Option<String>,
    /// The rate at its begin.
    pub from: Rate,
    /// The rate at its end.
    pub to: Rate,
    /// How long it takes.
    pub duration: Duration,
}

impl Stage {
    /// A stage of one rate.
    pub const fn constant(rate: Rate, duration: Duration) -> Self {
        Self {
            name: None,
            from: rate,
            to: rate,
            duration,
        }
    }

    /// The name, or else what it does.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.to_string())
    }

    /// Mean requests a second.
    pub fn mean_rate(&self) -> f64 {
        f64::midpoint(self.from.per_second(), self.to.per_second())
    }

    /// Weight of all requests that are due in it.
    pub(super) fn weight(&self) -> u128 {
        u128::from(self.from.per_1000_s + self.to.per_1000_s) * self.duration.as_nanos()
    }

    /// When so much weight is reached.
    pub(super) fn due(&self, weight: u128) -> Duration {
        if self.from == self.to {
            let twice = u128::from(self.from.per_1000_s) * 2;
            let nanos = weight.checked_div(twice).unwrap_or(0);
            return Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
        // The area under a ramp is from * t + (to - from) * t^2 / 2T; this root of it loses no
        // digits when the ramp is flat. 53 bits tell nanoseconds apart for a hundred days.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        let (area, from, to, whole) = (
            weight as f64 / 2.0,
            self.from.per_1000_s as f64,
            self.to.per_1000_s as f64,
            self.duration.as_nanos() as f64,
        );
        let root = (from * from + 2.0 * (to - from) * area / whole)
            .max(0.0)
            .sqrt();
        let nanos = if area > 0.0 {
            2.0 * area / (from + root)
        } else {
            0.0
        };
        Duration::try_from_secs_f64(nanos / 1e9)
            .unwrap_or(self.duration)
            .min(self.duration)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, .. } = self;
        let time = units::show_duration(self.duration);
        if from == to {
            write!(f, "{from}:{time}")
        } else {
            write!(f, "{from}..{to}:{time}")
        }
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| {
            format!(
                "{text:?}: {why}; a stage is RATE:TIME or FROM..TO:TIME, as in 100:30s,100..1000:1m"
            )
        };
        let (rates, time) = text.split_once(':').ok_or_else(|| wrong("no time"))?;
        let rate = |text: &str| match text {
            "0" => Ok(Rate::ZERO),
            text => text.parse::<Rate>().map_err(&wrong),
        };
        let (from, to) = match rates.split_once("..") {
            Some((from, to)) => (rate(from)?, rate(to)?),
            None => (rate(rates)?, rate(rates)?),
        };
        Ok(Self {
            name: None,
            from,
            to,
            duration: units::duration(time).map_err(wrong)?,
        })
    }
}

/// Stages with commas between them.
///
/// # Errors
///
/// Which one is wrong and why.
pub fn parse_stages(text: &str) -> Result<Vec<Stage>, String> {
    let stages = text
        .split(',')
        .map(|stage| stage.trim().parse())
        .collect::<Result<Vec<Stage>, _>>()?;
    check_stages(&stages)?;
    Ok(stages)
}

/// Whether stages make a schedule.
pub(crate) fn check_stages(stages: &[Stage]) -> Result<(), String> {
    if stages.len() > MAX_STAGES {
        return Err(format!("at most {MAX_STAGES} stages"));
    }
    let mut whole = Duration::ZERO;
    for stage in stages {
        whole = whole.saturating_add(stage.duration);
    }
    if whole > MAX_TIME {
        return Err("all stages together may take two days".to_owned());
    }
    if stages.iter().all(|stage| stage.weight() == 0) {
        return Err("nothing is sent: every rate is 0".to_owned());
    }
    Ok(())
}
