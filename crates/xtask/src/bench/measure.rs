//! Servers in alternation, so that a machine that changes its pace changes it for all of them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::load::{Burst, Wrk};
use super::server::{Server, cpu_seconds};

/// Connections, where a row does not say otherwise.
pub(super) const CONNECTIONS: u32 = 64;

/// A server and what it is sent.
pub(super) struct Subject<'a> {
    /// As the figures name it.
    pub(super) name: String,
    pub(super) server: &'a Server,
    pub(super) targets: PathBuf,
    pub(super) connections: u32,
    /// The database that works for it.
    pub(super) database: Option<u32>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(name: &str, server: &'a Server, targets: &Path) -> Self {
        Self {
            name: name.to_owned(),
            server,
            targets: targets.to_owned(),
            connections: CONNECTIONS,
            database: None,
        }
    }
}

/// What one subject took, round by round.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) name: String,
    /// Processor time of the server for each request, in microseconds.
    pub(super) micros: Vec<f64>,
    /// The same of the database.
    pub(super) database_micros: Vec<f64>,
    pub(super) rates: Vec<f64>,
    pub(super) p99_ms: Vec<f64>,
}

/// How often and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) rounds: u32,
    pub(super) seconds: u32,
}

/// Sends to all subjects in turn, one way and back, after a round that does not count.
pub(super) async fn alternate(
    wrk: &Wrk,
    subjects: &[Subject<'_>],
    pace: Pace,
) -> Result<Vec<Series>> {
    let mut all: Vec<Series> = subjects
        .iter()
        .map(|subject| Series {
            name: subject.name.clone(),
            ..Series::default()
        })
        .collect();
    for subject in subjects {
        once(wrk, subject, 1).await?;
    }
    for round in 0..pace.rounds {
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let taken = once(wrk, &subjects[index], pace.seconds).await?;
            let series = &mut all[index];
            series.micros.push(taken.micros);
            series.database_micros.extend(taken.database_micros);
            series.rates.push(taken.burst.rate);
            series.p99_ms.push(taken.burst.p99_ms);
        }
    }
    Ok(all)
}

struct Taken {
    micros: f64,
    database_micros: Option<f64>,
    burst: Burst,
}

async fn once(wrk: &Wrk, subject: &Subject<'_>, seconds: u32) -> Result<Taken> {
    let cpu = || -> Result<(f64, Option<f64>)> {
        let database = subject.database.map(cpu_seconds).transpose()?;
        Ok((subject.server.cpu_seconds()?, database))
    };
    let (before, database_before) = cpu()?;
    let burst = wrk
        .run(
            subject.server.address,
            &subject.targets,
            subject.connections,
            seconds,
        )
        .await?;
    let (after, database_after) = cpu()?;
    let database = database_before.zip(database_after);
    Ok(Taken {
        micros: (after - before) * 1e6 / burst.requests,
        database_micros: database.map(|(before, after)| (after - before) * 1e6 / burst.requests),
        burst,
    })
}

impl Series {
    /// For the file of results.
    pub(super) fn to_json(&self) -> Value {
        let least = |values: &[f64]| values.iter().copied().reduce(f64::min);
        let most = |values: &[f64]| values.iter().copied().reduce(f64::max);
        json!({
            "name": self.name,
            "cpu_us": rounded(median(&self.micros)),
            "cpu_us_least": least(&self.micros).map(rounded),
            "cpu_us_most": most(&self.micros).map(rounded),
            "database_cpu_us": (!self.database_micros.is_empty())
                .then(|| rounded(median(&self.database_micros))),
            "requests_per_s": median(&self.rates).round(),
            "p99_ms": rounded(median(&self.p99_ms)),
        })
    }
}

/// The named series of a row, and figures made of them.
pub(super) struct Row {
    series: Vec<Series>,
    figures: Map<String, Value>,
    extra: Map<String, Value>,
}

impl Row {
    pub(super) fn new(series: Vec<Series>) -> Self {
        Self {
            series,
            figures: Map::new(),
            extra: Map::new(),
        }
    }

    /// The series of that name, if its server was there.
    pub(super) fn series(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// Notes how many times the processor time of `base` a subject took: the median of the
    /// rounds' ratios.
    pub(super) fn ratio(&mut self, subject: &str, base: &str) {
        self.ratio_of(&format!("{subject} / {base}"), subject, base, |series| {
            &series.micros
        });
    }

    /// The same for another quantity, under a name of its own.
    pub(super) fn ratio_of(
        &mut self,
        figure: &str,
        subject: &str,
        base: &str,
        quantity: impl Fn(&Series) -> &[f64],
    ) {
        let found = self.series(subject).zip(self.series(base));
        if let Some((subject, base)) = found {
            let pairs = quantity(subject).iter().zip(quantity(base));
            let ratios: Vec<f64> = pairs.map(|(subject, base)| subject / base).collect();
            self.figure(figure, median(&ratios));
        }
    }

    pub(super) fn figure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), json!(rounded(value)));
    }

    /// Anything else worth keeping.
    pub(super) fn note(&mut self, name: &str, value: Value) {
        self.extra.insert(name.to_owned(), value);
    }

    pub(super) fn to_json(&self) -> Value {
        let mut row = self.extra.clone();
        let series = self.series.iter().map(Series::to_json).collect();
        row.insert("series".to_owned(), Value::Array(series));
        row.insert("figures".to_owned(), Value::Object(self.figures.clone()));
        Value::Object(row)
    }
}

/// The middle one; of an even number the mean of the middle two. 0 for none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(sorted[middle - 1], *value),
    }
}

/// To a thousandth: more digits would only pretend.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, micros: &[f64]) -> Series {
        Series {
            name: name.to_owned(),
            micros: micros.to_vec(),
            rates: vec![1.0],
            p99_ms: vec![1.0],
            ..Series::default()
        }
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine doubled its pace in the second round.
        let mut row = Row::new(vec![
            series("kit", &[12.0, 6.0, 12.0]),
            series("raw", &[10.0, 5.0, 10.0]),
        ]);
        row.ratio("kit", "raw");
        row.ratio("kit", "nginx");
        let json = row.to_json();
        assert_eq!(json["figures"], json!({ "kit / raw": 1.2 }));
        assert_eq!(json["series"][0]["cpu_us_most"], 12.0);
    }
}
