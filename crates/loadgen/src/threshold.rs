//! Limits that decide the exit code, such as `p99>10ms` or `qrcode.errors>0.1%`.

use std::fmt;
use std::str::FromStr;

use crate::report::Row;

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    /// A percentile of the response time, in milliseconds.
    Percentile(f64),
    Mean,
    Max,
    /// Share of requests that did not end well.
    Errors,
    /// Requests that ended, a second.
    Rate,
}

/// A run fails if this holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    /// The scenario; all together without.
    label: Option<String>,
    figure: Figure,
    is_above: bool,
    limit: f64,
}

impl Threshold {
    /// The scenario it is about, if not all.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// What the figure is in a run.
    pub fn value(&self, row: &Row) -> f64 {
        match self.figure {
            Figure::Percentile(percentile) => row.response_percentile_ms(percentile),
            Figure::Mean => row.response.mean_ms,
            Figure::Max => row.response.max_ms,
            Figure::Errors => row.error_share,
            Figure::Rate => row.rate,
        }
    }

    /// Whether what it says holds of this figure.
    pub fn holds(&self, value: f64) -> bool {
        if self.is_above {
            value > self.limit
        } else {
            value < self.limit
        }
    }

    /// The figure as people write it.
    pub fn show(&self, value: f64) -> String {
        match self.figure {
            Figure::Errors => format!("{:.3}%", value * 100.0),
            Figure::Rate => format!("{value:.1}/s"),
            _ => format!("{value:.3}ms"),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            "a limit is [SCENARIO.]FIGURE>VALUE or <VALUE; figures are pNN, avg and max (in us, ms \
             or s), errors (in %) and rate (a second)"
                .to_owned()
        };
        let place = text.find(['<', '>']).ok_or_else(wrong)?;
        let (left, right) = text.split_at(place);
        let is_above = right.starts_with('>');
        let limit = right[1..].trim();
        let left = left.trim();
        // A percentile may have a point of its own, as in p99.9.
        let (label, name) = match left.split_once('.') {
            Some((label, name)) if !is_percentile(label) => (Some(label.to_owned()), name),
            _ => (None, left),
        };
        let figure = match name {
            "avg" => Figure::Mean,
            "max" => Figure::Max,
            "errors" => Figure::Errors,
            "rate" => Figure::Rate,
            _ => {
                let number = name.strip_prefix('p').ok_or_else(wrong)?;
                let number: f64 = number.parse().map_err(|_| wrong())?;
                if !(0.0..=100.0).contains(&number) {
                    return Err(wrong());
                }
                Figure::Percentile(number)
            }
        };
        let units: &[(&str, f64)] = match figure {
            Figure::Errors => &[("%", 0.01)],
            Figure::Rate => &[("/s", 1.0), ("", 1.0)],
            _ => &[("us", 0.001), ("ms", 1.0), ("s", 1000.0)],
        };
        let found = units
            .iter()
            .find_map(|(unit, factor)| Some((limit.strip_suffix(unit)?, factor)));
        let (number, factor) = found.ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        if !number.is_finite() || number < 0.0 {
            return Err(wrong());
        }
        Ok(Self {
            text: text.to_owned(),
            label,
            figure,
            is_above,
            limit: number * factor,
        })
    }
}

fn is_percentile(text: &str) -> bool {
    text.strip_prefix('p')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::{Figure, Threshold};

    fn parse(text: &str) -> Option<(Option<String>, Figure, bool, f64)> {
        let found: Threshold = text.parse().ok()?;
        Some((found.label, found.figure, found.is_above, found.limit))
    }

    #[test]
    fn limits_name_a_figure_a_direction_and_a_value() {
        let p = Figure::Percentile;
        for (text, label, figure, above, limit) in [
            ("p99>10ms", None, p(99.0), true, 10.0),
            ("p99.9 > 2s", None, p(99.9), true, 2000.0),
            ("qrcode.p50>500us", Some("qrcode"), p(50.0), true, 0.5),
            ("qrcode.p99.9>1ms", Some("qrcode"), p(99.9), true, 1.0),
            ("errors>0.1%", None, Figure::Errors, true, 0.001),
            ("rate<900", None, Figure::Rate, false, 900.0),
            ("a.rate<9/s", Some("a"), Figure::Rate, false, 9.0),
            ("avg>1ms", None, Figure::Mean, true, 1.0),
            ("max>1ms", None, Figure::Max, true, 1.0),
        ] {
            let (found_label, found_figure, found_above, found) = parse(text).unwrap();
            assert_eq!(found_label.as_deref(), label, "{text}");
            assert_eq!((found_figure, found_above), (figure, above), "{text}");
            assert!((found - limit).abs() < 1e-9, "{text}: {found}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "p99",
            "p99>10",
            "p101>1ms",
            "px>1ms",
            "errors>1",
            "errors>-1%",
            "q99>1ms",
            "p99=1ms",
            "rate<xs",
            "p99>nanms",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
