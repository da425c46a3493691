//! Times and shares as people write them.

use std::time::Duration;

/// Longest time that can be given.
const MAX_TIME: Duration = Duration::from_hours(24);

/// A time such as `10s`, `1.5s`, `250ms` or `2m`.
///
/// # Errors
///
/// How a time is written.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let wrong = "a time is a number with us, ms, s, m or h, above 0 and up to a day";
    let units = [
        ("us", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let found = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, seconds) = found.ok_or(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong)?;
    let time = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong)?;
    if time.is_zero() || time > MAX_TIME {
        return Err(wrong);
    }
    Ok(time)
}

/// A time as [`duration`] reads it, in the largest unit that it is a whole number of.
pub fn show_duration(time: Duration) -> String {
    let micros = time.as_micros();
    let units = [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)];
    for (unit, length) in units.into_iter().chain([("ms", 1000)]) {
        if micros > 0 && micros.is_multiple_of(length) {
            return format!("{}{unit}", micros / length);
        }
    }
    format!("{micros}us")
}

/// A share such as `10%`, as a number from 0 to 1.
///
/// # Errors
///
/// How a share is written.
pub fn share(text: &str) -> Result<f64, &'static str> {
    let wrong = "a share is a number from 0 to 100 with %";
    let number = text.strip_suffix('%').ok_or(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong)?;
    if (0.0..=100.0).contains(&number) {
        Ok(number / 100.0)
    } else {
        Err(wrong)
    }
}

/// A field of a request's head: printable, and not two of them.
///
/// # Errors
///
/// How a field is written.
pub fn field(text: &str) -> Result<String, &'static str> {
    let is_printable = text
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    match text.split_once(':') {
        Some((name, _)) if is_printable && !name.is_empty() && !name.contains(' ') => {
            Ok(text.to_owned())
        }
        _ => Err("a field is NAME: VALUE in printable characters"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, field, share, show_duration};

    #[test]
    fn times_have_units_and_limits() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for text in ["", "s", "5", "0s", "-1s", "25h", "nans", "infs"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_shown_as_they_are_read() {
        for text in ["1500us", "1500ms", "90s", "2m", "24h"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn shares_have_a_percent_sign() {
        assert_eq!(share("0%"), Ok(0.0));
        assert_eq!(share("100%"), Ok(1.0));
        for text in ["", "5", "101%", "-1%", "nan%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_cannot_hold_a_second_one() {
        assert!(field("X-A: b c").is_ok());
        for text in ["", "x", ": b", "a b: c", "a: b\r\nc: d"] {
            assert!(field(text).is_err(), "{text}");
        }
    }
}
