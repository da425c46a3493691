//! Send times are exact and known before the run.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::time::Duration;

use loadgen::schedule::{Rate, Schedule, Stage, parse_stages};

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

fn staged(text: &str) -> Schedule {
    Schedule::staged(&parse_stages(text).unwrap(), None)
}

#[test]
fn stages_follow_one_another_without_a_gap() {
    let ladder = staged("100:10s,500:10s,1000:10s");
    assert_eq!(ladder.len(), 1000 + 5000 + 10_000);
    assert_eq!(ladder.duration(), Duration::from_secs(30));
    assert_eq!(ladder.rate(), None);
    assert_eq!(ladder.at(999), Duration::from_millis(9990));
    assert_eq!(ladder.at(1000), Duration::from_secs(10));
    assert_eq!(ladder.at(1001), Duration::from_millis(10_002));
    assert_eq!(ladder.at(6000), Duration::from_secs(20));
    assert_eq!(
        [999, 1000, 5999, 6000].map(|i| ladder.stage_of(i)),
        [0, 1, 1, 2]
    );
    assert_eq!(
        [0, 1, 2, 3].map(|s| ladder.sends_in(s)),
        [1000, 5000, 10_000, 0]
    );
}

#[test]
fn a_ramp_sends_as_much_as_the_area_under_it() {
    let ramp = staged("0..1000:10s");
    assert_eq!(ramp.len(), 5000);
    // Of a rate that grows evenly from nothing, n requests are due after sqrt(n / 50) seconds.
    assert_eq!(ramp.at(0), Duration::ZERO);
    for (index, seconds) in [(50, 1.0), (200, 2.0), (1250, 5.0), (4050, 9.0)] {
        let at = ramp.at(index).as_secs_f64();
        assert!((at - seconds).abs() < 1e-6, "{index}: {at}");
    }
    let down = staged("1000..0:10s");
    assert_eq!(down.len(), 5000);
    for index in 1..5000 {
        assert!(down.at(index) >= down.at(index - 1), "{index}");
        // It is the first ramp backwards.
        let mirrored = 10.0 - ramp.at(5000 - index).as_secs_f64();
        assert!(
            (down.at(index).as_secs_f64() - mirrored).abs() < 1e-6,
            "{index}"
        );
    }
}

#[test]
fn every_request_of_a_spike_is_due_within_its_stage() {
    let stages = "10.5:3s,0:2s,10..333:7s,5000:500ms,10:1s";
    let spike = staged(stages);
    let lengths: Vec<Stage> = parse_stages(stages).unwrap();
    let sum: u64 = (0..lengths.len()).map(|stage| spike.sends_in(stage)).sum();
    assert_eq!((sum, spike.sends_in(1)), (spike.len(), 0));
    let mut last = Duration::ZERO;
    for index in 0..spike.len() {
        let (at, stage) = (spike.at(index), spike.stage_of(index));
        let start: Duration = lengths[..stage].iter().map(|stage| stage.duration).sum();
        let end = start + lengths[stage].duration;
        assert!(
            last <= at && start <= at && at <= end,
            "{index}: {at:?} in {stage}"
        );
        last = at;
    }
}

#[test]
fn stages_end_early_by_number_too() {
    let stages = parse_stages("100:1s,200:1s").unwrap();
    let schedule = Schedule::staged(&stages, Some(120));
    assert_eq!((schedule.len(), schedule.sends_in(1)), (120, 20));
    assert_eq!(schedule.duration(), Duration::from_millis(1100));
}

#[test]
fn stages_are_rates_and_times() {
    for text in [
        "",
        "100",
        "100:",
        ":1s",
        "100:1",
        "1..:1s",
        "..1:1s",
        "0:1s",
        "0..0:1s",
        "100:1s,",
        "x:1s",
        "1:24h,1:24h,1:1s",
    ] {
        assert!(parse_stages(text).is_err(), "{text}");
    }
    let shown = parse_stages("100:90s, 0..1.5:250ms").unwrap();
    let shown: Vec<String> = shown.iter().map(Stage::label).collect();
    assert_eq!(shown, ["100:90s", "0..1.5:250ms"]);
}
