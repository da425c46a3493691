//! A family as the `prometheus` crate collects it: the workers' cells, added up.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::{BUCKET_BOUNDS, Cells, sum};

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Durations,
}

pub(super) struct Family {
    pub(super) desc: Desc,
    pub(super) label: &'static str,
    pub(super) values: Vec<&'static str>,
    pub(super) kind: Kind,
    pub(super) shards: Vec<Cells>,
}

impl Family {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the text format has doubles only; counts below 2^53 are exact"
    )]
    fn metric(&self, index: usize, value: &str) -> Metric {
        let mut metric = if value.is_empty() {
            Metric::default()
        } else {
            let mut pair = LabelPair::default();
            pair.set_name(self.label.to_owned());
            pair.set_value(value.to_owned());
            Metric::from_label(vec![pair])
        };
        match self.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(sum(&self.shards, index) as f64);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(sum(&self.shards, index) as f64);
                metric.set_gauge(gauge);
            }
            Kind::Durations => metric.set_histogram(self.histogram()),
        }
        metric
    }

    fn histogram(&self) -> Histogram {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BUCKET_BOUNDS.len());
        for (index, bound) in BUCKET_BOUNDS.iter().enumerate() {
            count += sum(&self.shards, index);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.as_secs_f64());
            bucket.set_cumulative_count(count);
            buckets.push(bucket);
        }
        count += sum(&self.shards, BUCKET_BOUNDS.len());
        let total = Duration::from_nanos(sum(&self.shards, BUCKET_BOUNDS.len() + 1));
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(total.as_secs_f64());
        histogram
    }
}

impl Collector for Family {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(match self.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Durations => MetricType::HISTOGRAM,
        });
        let metrics = self
            .values
            .iter()
            .enumerate()
            .map(|(index, value)| self.metric(index, value));
        family.set_metric(metrics.collect());
        vec![family]
    }
}
