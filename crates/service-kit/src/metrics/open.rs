//! The `OpenMetrics` text format, which has room for exemplars: of each bucket of a histogram the last
//! request that was traced, so that who sees a slow one has a trace to look at.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::BUCKET_BOUNDS;

/// One request that a bucket counts.
#[derive(Clone, Copy, Debug)]
struct Exemplar {
    trace_id: u128,
    took: Duration,
    at: SystemTime,
}

/// Those of one histogram. All workers share them: only traced requests pay for the lock.
#[derive(Clone, Debug, Default)]
pub(super) struct Exemplars(Arc<Mutex<[Option<Exemplar>; BUCKET_BOUNDS.len() + 1]>>);

impl Exemplars {
    pub(super) fn note(&self, bucket: usize, took: Duration, trace_id: u128) {
        if let Some(place) = self.lock().get_mut(bucket) {
            let at = SystemTime::now();
            *place = Some(Exemplar { trace_id, took, at });
        }
    }

    fn of(&self, bucket: usize) -> Option<Exemplar> {
        self.lock().get(bucket).copied().flatten()
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Exemplar>; BUCKET_BOUNDS.len() + 1]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes it of the Prometheus text format. What differs: a family of counters is called without
/// `_total`, buckets have exemplars, and there is an end.
pub(super) fn from_text(text: &str, exemplars: &[(String, Exemplars)]) -> String {
    let mut open = String::with_capacity(text.len() + 4096);
    let mut bucket = 0;
    for line in text.lines() {
        let comment = ["# HELP ", "# TYPE "];
        let comment = comment.into_iter().find(|start| line.starts_with(start));
        if let Some(start) = comment {
            let (name, rest) = line[start.len()..].split_once(' ').unwrap_or_default();
            let family = name.strip_suffix("_total").unwrap_or(name);
            let _ = writeln!(open, "{start}{family} {rest}");
            bucket = 0;
            continue;
        }
        open.push_str(line);
        if let Some((family, _)) = line.split_once("_bucket{") {
            let known = exemplars.iter().find(|(name, _)| name == family);
            if let Some(one) = known.and_then(|(_, known)| known.of(bucket)) {
                let at = one.at.duration_since(SystemTime::UNIX_EPOCH);
                let _ = write!(
                    open,
                    " # {{trace_id=\"{:032x}\"}} {} {:.3}",
                    one.trace_id,
                    one.took.as_secs_f64(),
                    at.unwrap_or_default().as_secs_f64(),
                );
            }
            bucket += 1;
        }
        open.push('\n');
    }
    open.push_str("# EOF\n");
    open
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn counters_lose_their_suffix_and_buckets_have_the_last_traced_request() {
        let metrics = Metrics::new("test", 1);
        metrics.counters("requests_total", "Requests.", "outcome", &["ok"]);
        let durations = metrics.durations("request_duration_seconds", "Time.");
        metrics.durations("other_seconds", "Others.");
        let worker = durations.worker(0);
        worker.observe(Duration::from_millis(3));
        worker.observe(Duration::from_secs(7));
        worker.exemplify(Duration::from_millis(4), 1);
        worker.exemplify(Duration::from_millis(3), 0xab);
        worker.exemplify(Duration::from_secs(7), 2);
        let open = String::from_utf8(metrics.render_open()).unwrap();
        for line in [
            "# HELP test_requests Requests.",
            "# TYPE test_requests counter",
            "test_requests_total{outcome=\"ok\"} 0",
            "# TYPE test_request_duration_seconds histogram",
            "test_request_duration_seconds_bucket{le=\"0.0025\"} 0",
            "test_request_duration_seconds_count 2",
            "test_other_seconds_bucket{le=\"0.005\"} 0",
        ] {
            assert!(open.lines().any(|is| is == line), "{line} not in\n{open}");
        }
        for start in [
            "test_request_duration_seconds_bucket{le=\"0.005\"} 1 # {trace_id=\"000000000000000000000000000000ab\"} 0.003 1",
            "test_request_duration_seconds_bucket{le=\"+Inf\"} 2 # {trace_id=\"00000000000000000000000000000002\"} 7 1",
        ] {
            assert!(
                open.lines().any(|line| line.starts_with(start)),
                "{start} not in\n{open}"
            );
        }
        assert!(open.ends_with("\n# EOF\n"));
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(!text.contains("trace_id") && !text.contains("EOF"));
    }
}
