//! The one form of time stamp that tweets have.

/// Seconds since 1970 UTC of `Fri Apr 04 05:30:11 +0000 2014`, the zone
/// applied; `None` for anything else.
///
/// Names are English and exact, day and times have two digits, the year has
/// four and is not 0000. The day name must be one but is not compared with the
/// date. There are no leap seconds; zones go from -2359 to +2359.
pub fn parse_created_at(text: &str) -> Option<i64> {
    let bytes: &[u8; 30] = text.as_bytes().try_into().ok()?;
    let [
        d0,
        d1,
        d2,
        b' ',
        m0,
        m1,
        m2,
        b' ',
        day @ ..,
        b' ',
        h0,
        h1,
        b':',
        n0,
        n1,
        b':',
        s0,
        s1,
        b' ',
        sign,
        zh0,
        zh1,
        zn0,
        zn1,
        b' ',
        y0,
        y1,
        y2,
        y3,
    ] = bytes
    else {
        return None;
    };
    let two = |high: &u8, low: &u8| Some(digit(*high)? * 10 + digit(*low)?);
    let below = |limit: i64| move |value: &i64| *value < limit;

    if !DAYS.contains(&&[*d0, *d1, *d2]) {
        return None;
    }
    let month = MONTHS.iter().position(|name| **name == [*m0, *m1, *m2])?;
    let month = i64::try_from(month).ok()? + 1;
    let [day0, day1] = day;
    let day = two(day0, day1)?;
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    if year == 0 || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let hour = two(h0, h1).filter(below(24))?;
    let minute = two(n0, n1).filter(below(60))?;
    let second = two(s0, s1).filter(below(60))?;
    let zone_hour = two(zh0, zh1).filter(below(24))?;
    let zone_minute = two(zn0, zn1).filter(below(60))?;
    let zone = (zone_hour * 60 + zone_minute) * 60;
    let zone = match sign {
        b'+' => zone,
        b'-' => -zone,
        _ => return None,
    };
    Some(days_since_1970(year, month, day) * 86_400 + (hour * 60 + minute) * 60 + second - zone)
}

const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte & 0x0f))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Counts from the first of March, so that the leap day ends a year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applies_the_zone() {
        assert_eq!(
            parse_created_at("Fri Apr 04 05:30:11 +0000 2014"),
            Some(1_396_589_411)
        );
        assert_eq!(
            parse_created_at("Mon Apr 14 10:13:00 +0130 2014"),
            Some(1_397_464_980)
        );
        assert_eq!(
            parse_created_at("Sun Apr 13 22:00:00 -0100 2014"),
            parse_created_at("Sun Apr 13 23:00:00 +0000 2014")
        );
        assert_eq!(parse_created_at("Thu Jan 01 00:00:00 +0000 1970"), Some(0));
    }

    #[test]
    fn knows_the_calendar() {
        for (text, is_valid) in [
            ("Sat Feb 29 00:00:00 +0000 2012", true),
            ("Sat Feb 29 00:00:00 +0000 2000", true),
            ("Sat Feb 29 00:00:00 +0000 1900", false),
            ("Sat Feb 29 00:00:00 +0000 2014", false),
            ("Sat Apr 31 00:00:00 +0000 2014", false),
            ("Sat Apr 00 00:00:00 +0000 2014", false),
            ("Sat Dec 31 23:59:59 +0000 2014", true),
            ("Sat Dec 31 24:00:00 +0000 2014", false),
            ("Sat Dec 31 23:60:00 +0000 2014", false),
            ("Sat Dec 31 23:59:60 +0000 2014", false),
            ("Sat Dec 31 23:59:59 +2400 2014", false),
            ("Sat Dec 31 23:59:59 +0060 2014", false),
            ("Sat Dec 31 23:59:59 +0000 0000", false),
        ] {
            assert_eq!(parse_created_at(text).is_some(), is_valid, "{text}");
        }
    }

    #[test]
    fn takes_one_form_only() {
        for text in [
            "",
            "yesterday",
            "Fri Apr 4 05:30:11 +0000 2014",
            "Fri Apr  4 05:30:11 +0000 2014",
            "fri Apr 04 05:30:11 +0000 2014",
            "Fre Apr 04 05:30:11 +0000 2014",
            "Fri Okt 04 05:30:11 +0000 2014",
            "Fri Apr 04 05:30:11 GMT 2014",
            "Fri Apr 04 05:30:11 +00:00 2014",
            "Fri Apr 04 05:30:11 00000 2014",
            " Fri Apr 04 05:30:11 +0000 2014",
            "Fri Apr 04 05:30:11 +0000 2014 ",
            "2014-04-04T05:30:11Z",
        ] {
            assert_eq!(parse_created_at(text), None, "{text}");
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut expected = days_since_1970(1899, 12, 31);
        for year in 1900..2101 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    expected += 1;
                    assert_eq!(days_since_1970(year, month, day), expected);
                }
            }
        }
    }
}
