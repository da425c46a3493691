//! What each figure should be.

use serde_json::Value;

/// A limit on one figure of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    pub(super) row: &'static str,
    pub(super) figure: &'static str,
    pub(super) meaning: &'static str,
    pub(super) limit: Limit,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Limit {
    AtMost(f64),
    /// Aimed at, and the worst that is still right.
    AtMostFloor(f64, f64),
    AtLeast(f64),
    Within(f64, f64),
}

/// How a figure stands to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    /// Missed, but within the floor.
    Floor,
    Missed,
    NotMeasured,
}

impl Verdict {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Floor => "within the floor",
            Self::Missed => "**missed**",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Limit {
    pub(super) fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("<= {most}"),
            Self::AtMostFloor(most, floor) => format!("<= {most}, floor {floor}"),
            Self::AtLeast(least) => format!(">= {least}"),
            Self::Within(least, most) => format!("{least} to {most}"),
        }
    }

    fn verdict(self, value: f64) -> Verdict {
        let met = match self {
            Self::AtMost(most) | Self::AtMostFloor(most, _) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::Within(least, most) => (least..=most).contains(&value),
        };
        match self {
            _ if met => Verdict::Met,
            Self::AtMostFloor(_, floor) if value <= floor => Verdict::Floor,
            _ => Verdict::Missed,
        }
    }
}

impl Target {
    const fn new(
        row: &'static str,
        figure: &'static str,
        meaning: &'static str,
        limit: Limit,
    ) -> Self {
        Self {
            row,
            figure,
            meaning,
            limit,
        }
    }

    /// The figure in a file of results.
    pub(super) fn value(&self, results: &Value) -> Option<f64> {
        results["rows"][self.row]["figures"][self.figure].as_f64()
    }

    pub(super) fn verdict(&self, results: &Value) -> Verdict {
        let value = self.value(results);
        value.map_or(Verdict::NotMeasured, |value| self.limit.verdict(value))
    }
}

/// All of them, in the order of the page.
#[rustfmt::skip]
pub(super) const TARGETS: &[Target] = &[
    Target::new("kit", "kit / raw", "kit with a null handler, against raw", Limit::AtMost(1.17)),
    Target::new("kit", "kit / hello", "the same, against hello", Limit::AtMost(1.03)),
    Target::new("kit", "hello / nginx", "yardstick: hello against nginx's constant reply", Limit::Within(0.97, 1.07)),
    Target::new("kit", "raw / nginx", "yardstick: raw against nginx's constant reply", Limit::Within(0.836, 0.924)),
    Target::new("qrcode", "encode / hello, encode requests", "`/qrcode` encode, against hello", Limit::AtMost(1.1)),
    Target::new("qrcode", "decode / hello, decode requests", "`/qrcode` decode, against hello", Limit::AtMost(1.15)),
    Target::new("qrcode", "encode / fasthttp, encode requests", "`/qrcode` encode, against Go fasthttp's hello", Limit::AtMost(1.0)),
    Target::new("qrcode", "decode / fasthttp, decode requests", "`/qrcode` decode, against Go fasthttp's hello", Limit::AtMost(1.0)),
    Target::new("blockchain", "mix / raw, mix", "`/blockchain`, published mix, against raw", Limit::AtMostFloor(4.2, 5.5)),
    Target::new("blockchain", "007 / raw, 007", "`/blockchain`, target `007`, against raw", Limit::AtMostFloor(6.0, 8.0)),
    Target::new("twitter-hits", "twitter / hello", "`/twitter`, all cache hits, median user, against hello", Limit::AtMost(1.35)),
    Target::new("twitter-misses", "twitter / raw", "`/twitter`, all misses, the service against raw", Limit::AtMost(1.9)),
    Target::new("twitter-misses", "database / raw", "`/twitter`, all misses, the database against raw", Limit::AtMost(1.1)),
    Target::new("twitter-misses", "rate / rate of sqlx's pool", "the same, requests a second against sqlx's default `Pool`", Limit::AtLeast(4.0)),
    Target::new("twitter-misses", "rate / rate of sysbench", "the same, requests a second against sysbench's point select", Limit::AtLeast(2.0)),
    Target::new("connections", "512 / 64 connections", "512 connections, processor time against 64", Limit::AtMost(1.3)),
    Target::new("connections", "2000 / 64 connections", "2,000 connections, processor time against 64", Limit::AtMost(1.5)),
    Target::new("connections", "p99 at 512, ms", "p99 at 512 connections, ms", Limit::AtMost(10.0)),
    Target::new("latency", "raw p99 at the rate of blockchain, ms", "yardstick: p99 of raw at 70 % of the saturation of `/blockchain`, ms", Limit::AtMost(1.0)),
    Target::new("latency", "raw p99 at the rate of qrcode, ms", "the same of `/qrcode`", Limit::AtMost(1.0)),
    Target::new("latency", "raw p99 at the rate of twitter, ms", "the same of `/twitter`", Limit::AtMost(1.0)),
    Target::new("latency", "blockchain p99, ms", "p99 at 70 % of saturation, open loop, `/blockchain`, ms", Limit::AtMost(2.0)),
    Target::new("latency", "qrcode p99, ms", "the same, `/qrcode`, ms", Limit::AtMost(2.0)),
    Target::new("latency", "twitter p99, ms", "the same, `/twitter` from the cache, ms", Limit::AtMost(2.0)),
    Target::new("latency", "blockchain p99 / service time", "the same in service times, `/blockchain`", Limit::AtMost(15.0)),
    Target::new("latency", "qrcode p99 / service time", "the same, `/qrcode`", Limit::AtMost(15.0)),
    Target::new("latency", "twitter p99 / service time", "the same, `/twitter` from the cache", Limit::AtMost(15.0)),
    Target::new("memory", "blockchain, MiB", "memory at 1,000 connections, `/blockchain`, MiB", Limit::AtMost(32.0)),
    Target::new("memory", "qrcode, MiB", "the same, `/qrcode`, MiB", Limit::AtMost(32.0)),
    Target::new("memory", "twitter, MiB", "the same, `/twitter` without its cache, MiB", Limit::AtMost(32.0)),
    Target::new("tool", "loadgen / wrk", "`loadgen` in closed loop, its own processor time against wrk's", Limit::AtMost(2.0)),
    Target::new("growth", "blockchain, time for a byte at 1000 / at 10", "time for a byte of a chain 1,000 times the usual, against 10 times", Limit::AtMost(1.5)),
    Target::new("growth", "twitter, time for a row at 1000 / at 10", "time for a row of a user with 1,000 times the usual rows, against 10 times", Limit::AtMost(1.5)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_figure_is_held_against_its_limit() {
        let target = Target::new("blockchain", "mix / raw", "", Limit::AtMostFloor(4.2, 5.5));
        let results =
            |value| json!({ "rows": { "blockchain": { "figures": { "mix / raw": value } } } });
        assert_eq!(target.verdict(&results(4.2)), Verdict::Met);
        assert_eq!(target.verdict(&results(5.0)), Verdict::Floor);
        assert_eq!(target.verdict(&results(5.6)), Verdict::Missed);
        assert_eq!(target.verdict(&json!({})), Verdict::NotMeasured);
        assert_eq!(Limit::AtLeast(4.0).verdict(3.9), Verdict::Missed);
        assert_eq!(Limit::Within(0.9, 1.1).verdict(1.2), Verdict::Missed);
    }
}
