//! Times as Twitter writes them, and the ids that carry them.

use super::random::{Random, Stream, mix};

/// The millisecond that snowflake ids count from.
const SNOWFLAKE_EPOCH_MS: u64 = 1_288_834_974_657;
/// 2012-01-01, the first tweet with a snowflake id.
const FIRST_MS: u64 = 1_325_376_000_000;
/// A little over four years.
const SPAN_MS: u64 = 1 << 37;
/// 2006-03-22 and the time from there in which ids were counted one by one.
const OLD_FIRST_MS: u64 = 1_142_985_600_000;
const OLD_SPAN_MS: u64 = 146_000_000_000;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// The time of a tweet in milliseconds since 1970, and its id.
///
/// One in a hundred is from before snowflake ids. One in five shares its second with others of its
/// sender's circle.
pub(super) fn stamp(seed: u64, index: u64, circle: u64, random: &mut Random) -> (u64, u64) {
    if random.one_in(100) {
        // A product with an odd number: no two indexes below 2^34 give the same id.
        let id = (index.wrapping_mul(0x2_9E37_79B9) ^ mix(seed)) & ((1 << 34) - 1);
        let ms = OLD_FIRST_MS + id / 1_000 * (OLD_SPAN_MS / ((1 << 34) / 1_000));
        return (ms, id + 20);
    }
    let ms = if random.one_in(5) {
        let mut moment = Random::new(seed, Stream::Moment, circle * 8 + random.below(4));
        FIRST_MS + moment.below(SPAN_MS / 1_000) * 1_000 + random.below(1_000)
    } else {
        FIRST_MS + random.below(SPAN_MS)
    };
    // The lower bits were machine and sequence.
    (
        ms,
        ((ms - SNOWFLAKE_EPOCH_MS) << 22) | random.below(1 << 22),
    )
}

/// `Fri Apr 04 05:30:11 +0000 2014`, in a zone so many minutes east.
pub(super) fn format(unix_s: u64, zone_minutes: i32, out: &mut String) {
    let offset_s = u64::from(zone_minutes.unsigned_abs()) * 60;
    let (local_s, sign) = if zone_minutes < 0 {
        (unix_s - offset_s, '-')
    } else {
        (unix_s + offset_s, '+')
    };
    let (days, second) = (local_s / 86_400, local_s % 86_400);
    let (year, month, day) = civil(days);
    out.push_str(DAYS[usize::try_from(days % 7).expect("below 7")]);
    out.push(' ');
    out.push_str(MONTHS[usize::try_from(month - 1).expect("below 12")]);
    out.push(' ');
    two_digits(day, out);
    out.push(' ');
    two_digits(second / 3_600, out);
    out.push(':');
    two_digits(second / 60 % 60, out);
    out.push(':');
    two_digits(second % 60, out);
    out.push(' ');
    out.push(sign);
    two_digits(offset_s / 3_600, out);
    two_digits(offset_s / 60 % 60, out);
    out.push(' ');
    out.push_str(itoa::Buffer::new().format(year));
}

fn two_digits(value: u64, out: &mut String) {
    if value < 10 {
        out.push('0');
    }
    out.push_str(itoa::Buffer::new().format(value));
}

/// Year, month and day of a day since 1970, by Howard Hinnant's method: years begin in March, so that
/// the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix_s: u64, zone_minutes: i32) -> String {
        let mut out = String::new();
        format(unix_s, zone_minutes, &mut out);
        out
    }

    #[test]
    fn formats_known_times_in_several_zones() {
        assert_eq!(text(1_396_589_411, 0), "Fri Apr 04 05:30:11 +0000 2014");
        assert_eq!(text(1_396_589_411, 60), "Fri Apr 04 06:30:11 +0100 2014");
        assert_eq!(text(1_396_589_411, -570), "Thu Apr 03 20:00:11 -0930 2014");
        assert_eq!(text(1_330_473_600, 0), "Wed Feb 29 00:00:00 +0000 2012");
        assert_eq!(text(1_330_560_000, 0), "Thu Mar 01 00:00:00 +0000 2012");
        assert_eq!(text(1_142_899_200, 0), "Tue Mar 21 00:00:00 +0000 2006");
    }

    #[test]
    fn ids_agree_with_their_times() {
        let mut old = 0;
        for index in 0..10_000 {
            let mut random = Random::new(3, Stream::Identity, index);
            let (ms, id) = stamp(3, index, index % 7, &mut random);
            if id < 1 << 35 {
                old += 1;
                assert!((OLD_FIRST_MS..FIRST_MS).contains(&ms), "{ms}");
            } else {
                assert_eq!((id >> 22) + SNOWFLAKE_EPOCH_MS, ms);
            }
        }
        assert!((50..200).contains(&old), "{old}");
    }
}
