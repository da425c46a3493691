//! Send times are exact and known before the run.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::time::Duration;

use loadgen::schedule::{Rate, Schedule};

fn schedule(rate: &str, duration_ms: u64) -> Schedule {
    let rate = rate.parse().unwrap();
    Schedule::new(rate, Duration::from_millis(duration_ms), None)
}

#[test]
fn sends_are_due_at_equal_distances_from_the_start() {
    let schedule = schedule("1000", 10);
    let times: Vec<u128> = (0..schedule.len())
        .map(|index| schedule.at(index).as_micros())
        .collect();
    assert_eq!(
        times,
        [0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000]
    );
}

#[test]
fn rates_that_do_not_divide_a_second_do_not_drift() {
    let schedule = schedule("3", 1_000_000);
    assert_eq!(schedule.len(), 3000);
    assert_eq!(schedule.at(1), Duration::from_nanos(333_333_333));
    assert_eq!(schedule.at(2), Duration::from_nanos(666_666_666));
    for second in 0..1000 {
        assert_eq!(schedule.at(3 * second), Duration::from_secs(second));
    }
    let half = Schedule::new("0.5".parse().unwrap(), Duration::from_secs(10), None);
    assert_eq!((half.len(), half.at(4)), (5, Duration::from_secs(8)));
    let odd = Schedule::new("12.125".parse().unwrap(), Duration::from_secs(8), None);
    assert_eq!((odd.len(), odd.at(97)), (97, Duration::from_secs(8)));
}

#[test]
fn every_send_is_due_before_the_end_and_the_next_would_not_be() {
    for rate in ["0.001", "7", "999.999", "123456.789", "10000000"] {
        for duration_ms in [1, 999, 10_000] {
            let schedule = schedule(rate, duration_ms);
            let end = Duration::from_millis(duration_ms);
            assert!(
                schedule.at(schedule.len() - 1) < end,
                "{rate} {duration_ms}"
            );
            // Times are cut to whole nanoseconds.
            let next = schedule.at(schedule.len()) + Duration::from_nanos(1);
            assert!(next > end, "{rate} {duration_ms}");
        }
    }
}

#[test]
fn a_number_of_requests_ends_a_schedule_early() {
    let rate: Rate = "100".parse().unwrap();
    let len = |requests| Schedule::new(rate, Duration::from_secs(1), Some(requests)).len();
    assert_eq!((len(7), len(1000)), (7, 100));
}

#[test]
fn rates_are_positive_numbers_with_three_decimals() {
    for text in [
        "",
        "0",
        "0.000",
        "-1",
        "+1",
        "1e3",
        "1.",
        ".5",
        "1.2345",
        "10000001",
        "10000000.1",
        "99999999999999999999",
    ] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
    assert_eq!("1.5".parse::<Rate>().unwrap().to_string(), "1.5");
}
