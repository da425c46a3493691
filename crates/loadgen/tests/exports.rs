//! Every format holds the figures, can be read again, and adds without loss.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "support/made.rs"]
mod made;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use loadgen::compare::{Verdict, compare};
use loadgen::report::{csv, hlog, html, json, merge};
use serde_json::Value;

/// Times that vary from second to second and within each, by up to a tenth.
fn noisy(base: u64, seed: u64) -> impl Fn(u64, u64) -> u64 {
    move |second, request| {
        let mut random = loadgen::random::Random::with_stream(seed, second * 100 + request);
        let slow = if request == 99 { 5 } else { 1 };
        slow * (base + random.below(base / 10 + 1) + (second % 3) * base / 100)
    }
}

/// Equal but for the last digit of a number: who reads JSON may be off by that.
fn assert_alike(one: &Value, two: &Value) {
    match (one, two) {
        (Value::Object(one), Value::Object(two)) => {
            assert!(one.keys().eq(two.keys()));
            one.values()
                .zip(two.values())
                .for_each(|(one, two)| assert_alike(one, two));
        }
        (Value::Array(one), Value::Array(two)) => {
            assert_eq!(one.len(), two.len());
            one.iter()
                .zip(two)
                .for_each(|(one, two)| assert_alike(one, two));
        }
        (Value::Number(one), Value::Number(two)) => {
            let (one, two) = (one.as_f64().unwrap(), two.as_f64().unwrap());
            assert!((one - two).abs() <= 1e-15 * two.abs(), "{one} {two}");
        }
        _ => assert_eq!(one, two),
    }
}

#[test]
fn json_is_read_as_it_was_written() {
    let report = made::report(7, 3, noisy(1000, 1));
    let text = json::write(&report).unwrap();
    let read = json::parse(&text).unwrap();
    let value = |text: &str| serde_json::from_str(text).unwrap();
    assert_alike(&value(&json::write(&read).unwrap()), &value(&text));
    assert_eq!(read.scenarios[0].response.histogram.len(), 300);
    for wrong in ["", "{}", "[]", &text.replace("report/3", "report/2")] {
        assert!(json::parse(wrong).is_err());
    }
    let damaged = text.replacen("\"histogram\": \"H", "\"histogram\": \"X", 1);
    assert!(damaged != text && json::parse(&damaged).is_err());
}

#[test]
fn csv_has_a_line_for_each_second_and_scenario() {
    let text = csv::write(&made::report(7, 3, |_, _| 2000));
    let mut lines = text.lines();
    let head = lines.next().unwrap();
    assert_eq!(head, csv::HEAD);
    let names: Vec<&str> = head.split(',').collect();
    let rows: Vec<BTreeMap<&str, &str>> = lines
        .map(|line| names.iter().copied().zip(line.split(',')).collect())
        .collect();
    assert_eq!(rows.len(), 6);
    let sum = |scenario: &str, name: &str| -> u64 {
        let rows = rows.iter().filter(|row| row["scenario"] == scenario);
        rows.map(|row| row[name].parse::<u64>().unwrap()).sum()
    };
    assert_eq!((sum("one", "requests"), sum("one", "errors")), (300, 0));
    assert_eq!((sum("two", "requests"), sum("two", "errors")), (3, 3));
    assert_eq!(sum("one", "bytes_in"), 300_000);
    for row in rows.iter().filter(|row| row["scenario"] == "one") {
        for name in ["p50_ms", "p99_9_ms", "max_ms"] {
            let ms: f64 = row[name].parse().unwrap();
            assert!((ms - 2.0).abs() < 0.003, "{name} {ms}");
        }
    }
}

#[test]
fn the_reader_of_histogram_logs_reads_ours() {
    let report = made::report(1_700_000_000, 4, noisy(500, 2));
    let log = hlog::write(&report).unwrap();
    let mut all: BTreeMap<String, Histogram<u64>> = BTreeMap::new();
    let mut deserializer = Deserializer::new();
    let (mut intervals, mut begins) = (0, 0);
    for entry in IntervalLogIterator::new(&log) {
        match entry.unwrap() {
            LogEntry::StartTime(at) | LogEntry::BaseTime(at) => {
                assert_eq!(at.as_secs(), 1_700_000_000);
                begins += 1;
            }
            LogEntry::Interval(interval) => {
                assert_eq!(interval.duration().as_secs(), 1);
                let packed = interval.encoded_histogram();
                let bytes = base64_simd::STANDARD.decode_to_vec(packed).unwrap();
                let times = deserializer.deserialize(&mut bytes.as_slice()).unwrap();
                let tag = interval.tag().unwrap().as_str().to_owned();
                intervals += 1;
                match all.get_mut(&tag) {
                    Some(known) => known.add(&times).unwrap(),
                    None => drop(all.insert(tag, times)),
                }
            }
        }
    }
    assert_eq!((intervals, begins), (8, 2));
    for row in &report.scenarios {
        assert_eq!(&all[&row.label], row.response.histogram.histogram());
    }
}

/// Whether every tag is closed in its place, and how many there are of a name.
fn tags(page: &str) -> BTreeMap<String, usize> {
    let mut open: Vec<String> = Vec::new();
    let mut found = BTreeMap::new();
    let body = page.strip_prefix("<!DOCTYPE html>").unwrap();
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "a bare > in {text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in its place");
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).next().unwrap().to_owned();
        *found.entry(name.clone()).or_default() += 1;
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    found
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_from_elsewhere() {
    let mut report = made::report(7, 5, noisy(1000, 3));
    report.scenarios[0]
        .examples
        .push(loadgen::report::ExampleReport {
            target: "/<script>alert(1)</script>".to_owned(),
            reason: "other bytes".to_owned(),
            expected: "a & b \" \u{1}".to_owned(),
            body: "</pre>".to_owned(),
        });
    let page = html::write(&report);
    let found = tags(&page);
    assert_eq!((found["svg"], found["figure"]), (4, 4));
    assert!(found["polyline"] >= 8, "{found:?}");
    for outside in [
        "<script", "src=", "href=", "url(", "@import", "<link", "<img",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    for inside in [
        "Response time by percentile",
        "99.9%",
        "Kernel",
        "&lt;script&gt;",
        "Intended",
    ] {
        assert!(page.contains(inside), "{inside}");
    }
    // A run in which nothing ended is a page too.
    tags(&html::write(&made::report(7, 0, |_, _| 1)));
}

#[test]
fn merged_reports_are_the_report_of_all() {
    let whole = made::report(100, 4, |_, request| 1000 + request);
    let halves = [0, 1].map(|half| {
        let mut part = made::report(100, 4, |_, request| 1000 + request);
        part.plan.shard = format!("{half}/2");
        part
    });
    let merged = merge::merge(halves.to_vec()).unwrap();
    assert_eq!((merged.merged, merged.plan.shard.as_str()), (2, "0/2+1/2"));
    assert_eq!(merged.total.requests, 2 * whole.total.requests);
    assert_eq!(merged.total.errors, 8);
    assert!((merged.elapsed_s - whole.elapsed_s).abs() < 1e-9);
    assert!((merged.total.rate - 2.0 * whole.total.rate).abs() < 1e-9);
    let mut twice = whole.scenarios[0].response.histogram.clone();
    twice.merge(&whole.scenarios[0].response.histogram);
    assert_eq!(merged.scenarios[0].response.histogram, twice);
    let second = &merged.scenarios[0].timeline[2];
    let once = &whole.scenarios[0].timeline[2];
    assert_eq!(second.tally.done, 2 * once.tally.done);
    assert_eq!(second.times.unpack().unwrap().len(), second.tally.done);
}

#[test]
fn a_shard_that_begins_later_stands_later_in_the_timeline() {
    let (early, late) = (
        made::report(100, 2, |_, _| 10),
        made::report(103, 2, |_, _| 10),
    );
    for order in [vec![early.clone(), late.clone()], vec![late, early]] {
        let merged = merge::merge(order).unwrap();
        let timeline = &merged.scenarios[0].timeline;
        let done: Vec<u64> = timeline.iter().map(|second| second.tally.done).collect();
        assert_eq!(done, [100, 100, 0, 100, 100]);
        assert!((merged.elapsed_s - 5.0).abs() < 1e-9);
        assert!((merged.started_at - 100.0).abs() < 1e-9);
    }
}

#[test]
fn only_reports_of_one_load_are_merged() {
    let report = made::report(100, 2, |_, _| 10);
    let mut other = report.clone();
    other.scenarios[0].label = "three".to_owned();
    let error = merge::merge(vec![report.clone(), other]).unwrap_err();
    assert!(error.to_string().contains("different loads"), "{error}");
    let day_after = made::report(90_000, 2, |_, _| 10);
    assert!(merge::merge(vec![report, day_after]).is_err());
    assert!(merge::merge(Vec::new()).is_err());
}

#[test]
fn comparisons_tell_worse_and_better_from_noise() {
    let verdict = |a: u64, b: u64, seeds: (u64, u64)| {
        let a = made::report(1, 30, noisy(a, seeds.0));
        let b = made::report(1, 30, noisy(b, seeds.1));
        compare(&a, &b, 0.05)
    };
    let same = verdict(10_000, 10_000, (1, 2));
    assert_eq!(same.verdict, Verdict::Same, "{same}");
    let worse = verdict(10_000, 12_000, (1, 2));
    assert_eq!(worse.verdict, Verdict::Worse, "{worse}");
    let median = &worse.figures[0];
    let (low, high) = median.interval.unwrap();
    assert!(
        median.name == "p50" && low <= median.change && median.change <= high,
        "{worse}"
    );
    assert!((0.15..0.25).contains(&median.change), "{worse}");
    let better = verdict(12_000, 10_000, (1, 2));
    assert_eq!(better.verdict, Verdict::Better, "{better}");
    assert!(
        better.to_string().contains("Verdict: B is better"),
        "{better}"
    );
}

#[test]
fn short_and_unlike_runs_are_named_as_such() {
    let (a, mut b) = (
        made::report(1, 3, |_, _| 10),
        made::report(1, 3, |_, _| 900),
    );
    b.plan.connections += 1;
    b.host.cpus += 1;
    let comparison = compare(&a, &b, 0.05);
    assert_eq!(comparison.verdict, Verdict::Unclear);
    let notes = comparison.warnings.join("\n");
    for part in ["too short", "different machines", "loads differ"] {
        assert!(notes.contains(part), "{part} in {notes}");
    }
}
