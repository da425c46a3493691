//! Overload is shed, not suffered: how much each service does right when it is asked for up to three
//! times what it can do.
//!
//! Right is a reply that says what it should, within a second of its request's sending: then the
//! client hangs up. Requests are due at a constant rate, whatever the service does; there are so many
//! connections that one request on each is more than the service can do in that second.

mod delay;
pub(crate) mod share;
mod tested;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use tokio::process::Command;
use tokio::time::sleep;

use self::delay::Delay;
use self::tested::{Load, Point, Tested};
use crate::bench::{self, load_average};
use crate::console;
use crate::database::BenchDatabase;
use crate::mariadb::MariaDb;
use crate::workspace::Workspace;

/// Of what the service can do at most.
const MULTIPLES: [f64; 6] = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0];
/// A load at which nothing has to wait.
const QUIET: f64 = 0.5;
/// Connections with which the most is measured at first.
const FEW_CONNECTIONS: u32 = 256;
/// Connections at most: more than the services serve at a time is another test.
const MOST_CONNECTIONS: f64 = 16_000.0;
/// How much later the answers of the database arrive.
const DATABASE_DELAY: Duration = Duration::from_millis(50);
/// What the web tier may be busy, where the database is the limit.
const WEB_TIER_BUSY: f64 = 0.3;
/// How late the admin port may answer.
const ADMIN_LIMIT_MS: f64 = 100.0;
/// How late a refusal may be.
const REFUSAL_LIMIT_MS: f64 = 50.0;
/// What a service may take at most: the limit of the charts where it is lowest.
const MEMORY_LIMIT_MB: f64 = 192.0;
/// When latency is as before after the load went back, in seconds.
const RECOVERY: u64 = 2;
/// What latency may be then: so many times what it was before, and so many milliseconds more.
const RECOVERED: (f64, f64) = (2.0, 10.0);
/// Database of the twitter service.
const DATABASE: &str = "tripod";

/// A service, with what limits it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Subject {
    /// Misses of the cache, the database far away
    Twitter,
    /// The processor
    Blockchain,
    /// The processor
    Qrcode,
}

impl Subject {
    const fn name(self) -> &'static str {
        match self {
            Self::Twitter => "twitter",
            Self::Blockchain => "blockchain",
            Self::Qrcode => "qrcode",
        }
    }

    /// Which part of the most it does right it must do at so many times of what it can.
    const fn promise(self) -> Option<(f64, f64)> {
        match self {
            Self::Twitter => Some((3.0, 0.9)),
            Self::Blockchain => Some((1.25, 0.85)),
            Self::Qrcode => None,
        }
    }

    /// Connections of a quiet load: enough for what is in hand at a time, few against what a part of a
    /// processor opens in a moment.
    const fn quiet_connections(self) -> u32 {
        if self.is_bound_by_processor() {
            64
        } else {
            FEW_CONNECTIONS
        }
    }

    const fn is_bound_by_processor(self) -> bool {
        self.processor_percent().is_some()
    }

    /// Part of a processor that a service bound by it has, in percent. With much more the load tool would
    /// be the first to be saturated: by clients that give up and connect anew, each second as many as
    /// the service answers.
    const fn processor_percent(self) -> Option<u32> {
        match self {
            Self::Twitter => None,
            Self::Blockchain => Some(20),
            Self::Qrcode => Some(7),
        }
    }
}

/// How it is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub(super) rounds: u32,
    pub(super) seconds: u32,
    pub(super) is_built: bool,
}

/// One time through all multiples.
#[derive(Debug)]
struct Round {
    points: Vec<Point>,
    /// The 99th percentile of each window of a quiet load before the storms, in milliseconds.
    before: Vec<f64>,
    /// The same of the window that begins [`RECOVERY`] after each of them.
    after: Vec<f64>,
}

/// Draws the curve of each service and checks what is promised of it.
pub(super) async fn run(subjects: &[Subject], measure: Measure) -> Result<()> {
    let workspace = Workspace::locate().await?;
    bench::raise_open_file_limit();
    if !measure.is_built {
        console::header("building (the first time takes some minutes)");
        bench::build(&workspace).await?;
    }
    let folder = workspace.scratch("overload");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut torture = Torture {
        programs: workspace.target.join("release"),
        folder,
        measure,
        broken: Vec::new(),
    };
    for subject in subjects {
        let mut rounds = Vec::new();
        for round in 1..=measure.rounds {
            console::header(&format!("{}, round {round}", subject.name()));
            rounds.push(match subject {
                Subject::Twitter => torture.twitter(&workspace).await?,
                _ => torture.curve(*subject, &[]).await?,
            });
        }
        torture.judge(*subject, &rounds);
    }
    if !torture.broken.is_empty() {
        bail!(
            "promises that were not kept:\n  {}",
            torture.broken.join("\n  ")
        );
    }
    Ok(())
}

struct Torture {
    programs: PathBuf,
    folder: PathBuf,
    measure: Measure,
    broken: Vec<String>,
}

impl Torture {
    async fn twitter(&mut self, workspace: &Workspace) -> Result<Round> {
        let product = MariaDb::obtain().await?;
        let database = BenchDatabase::start(&product, workspace, &[DATABASE]).await?;
        let url = database.url(DATABASE);
        let mut table = Command::new(self.programs.join("prepare"));
        table.arg("table").arg(&self.folder).arg(&url);
        bench::told(&mut table).await?;
        let far = Delay::open(database.port(), DATABASE_DELAY).await?;
        let there = format!(":{}/", database.port());
        let url = url.replace(&there, &format!(":{}/", far.port));
        // Without a cache each request is a look-up. Two connections more than one worker uses
        // before look-ups wait for each other.
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("DATABASE_CONNECTIONS", "4"),
            ("CACHE_MB", "0"),
        ];
        let drawn = self.curve(Subject::Twitter, &settings).await;
        drop(far);
        database.stop().await;
        drawn
    }

    /// One round: all multiples.
    async fn curve(&mut self, subject: Subject, settings: &[(&str, &str)]) -> Result<Round> {
        let tested = Tested::start(self, subject, settings).await?;
        let seconds = self.measure.seconds;
        let mut most = tested.closed_loop(FEW_CONNECTIONS, seconds).await?;
        let mut connections = connections(subject, most);
        if subject.is_bound_by_processor() {
            // A request on one of thousands of connections costs more than on one of a few.
            most = tested.closed_loop(connections, seconds).await?;
            connections = self::connections(subject, most);
        }
        console::say(&format!(
            "{most:.0} a second in closed loop; {connections} connections; load average {}",
            load_average().map_or_else(|| "unknown".to_owned(), |load| format!("{load:.1}")),
        ));
        let quiet =
            |most: f64, windows| tested.quiet(most * QUIET, subject.quiet_connections(), windows);
        let before = quiet(most, MULTIPLES.len()).await?;
        let mut after = Vec::new();
        let mut points = Vec::new();
        for multiple in MULTIPLES {
            let mut point = tested
                .storm(Load {
                    multiple,
                    rate: most * multiple,
                    connections,
                    seconds,
                })
                .await?;
            // The time within which all is to be well again is not looked at.
            after.extend(quiet(most, 1).await?);
            if subject.is_bound_by_processor() {
                // A processor that is shared does half or double from one minute to the next: what it
                // does under the storm is held against what it did just before and does just after.
                let now = tested.closed_loop(connections, seconds).await?;
                point.most = f64::midpoint(most, now);
                most = now;
                sleep(Duration::from_secs(RECOVERY)).await;
            }
            points.push(point);
        }
        if !subject.is_bound_by_processor() {
            let most = points.iter().map(|point| point.good).fold(0.0, f64::max);
            for point in &mut points {
                point.most = most;
            }
        }
        show(&points);
        let peak_mb = tested.server.peak_mb()?;
        console::say(&format!(
            "quiet p99 {} ms before, {} ms {RECOVERY} s after each storm; at most {peak_mb:.0} MiB",
            tenths(&before),
            tenths(&after),
        ));
        self.check(peak_mb <= MEMORY_LIMIT_MB, || {
            format!("{}: {peak_mb:.0} MiB", subject.name())
        });
        self.judge_refusals(subject, &tested.refusals_ms());
        tested.stop().await;
        Ok(Round {
            points,
            before,
            after,
        })
    }

    fn judge_refusals(&mut self, subject: Subject, refusals: &[f64]) {
        let Some(last) = refusals.last() else { return };
        let p99 = refusals[(refusals.len() - 1) * 99 / 100];
        console::say(&format!(
            "{} logged refusals: p99 {p99:.1} ms, at most {last:.1} ms after the head",
            refusals.len(),
        ));
        self.check(p99 <= REFUSAL_LIMIT_MS, || {
            format!("{}: a refusal took {p99:.1} ms", subject.name())
        });
    }

    /// Says the sum of all rounds and holds it against the promises.
    fn judge(&mut self, subject: Subject, rounds: &[Round]) {
        let name = subject.name();
        console::header(&format!("{name}, median of {} rounds", rounds.len()));
        for (place, multiple) in MULTIPLES.into_iter().enumerate() {
            let parts = rounds.iter().filter_map(|round| round.points.get(place));
            let part = bench::median(&parts.map(Point::part).collect::<Vec<_>>());
            console::say(&format!("at {multiple} times {part:.2} of the most"));
            if let Some((at, least)) = subject.promise()
                && (at - multiple).abs() < f64::EPSILON
            {
                self.check(part >= least, || {
                    format!("{name}: {part:.2} of the most at {multiple} times, not {least}")
                });
            }
        }
        // A machine that others use stands still now and then, so no single window counts.
        let usual = |windows: fn(&Round) -> &[f64]| {
            let all: Vec<f64> = rounds.iter().flat_map(windows).copied().collect();
            bench::median(&all)
        };
        let (before, after) = (usual(|round| &round.before), usual(|round| &round.after));
        console::say(&format!(
            "quiet p99 {before:.1} ms before, {after:.1} ms {RECOVERY} s after a storm"
        ));
        let (times, more) = RECOVERED;
        self.check(after <= before * times + more, || {
            format!("{name}: p99 {after:.1} ms {RECOVERY} s after a storm, {before:.1} ms before")
        });
        for point in rounds.iter().flat_map(|round| &round.points) {
            let Point {
                multiple, admin, ..
            } = point;
            self.check(
                admin.p99_ms <= ADMIN_LIMIT_MS && admin.unanswered == 0,
                || format!("{name}: the admin port at {multiple} times: {admin:?}"),
            );
        }
        if !subject.is_bound_by_processor() {
            // Beyond what it can do, refusals are added.
            let first = rounds.iter().filter_map(|round| round.points.first());
            let busy = bench::median(&first.map(|point| point.busy).collect::<Vec<_>>());
            self.check(busy < WEB_TIER_BUSY, || {
                format!("{name}: {busy:.2} processors at saturation")
            });
        }
    }

    fn check(&mut self, is_kept: bool, why: impl FnOnce() -> String) {
        if !is_kept {
            self.broken.push(why());
        }
    }
}

/// One request on each is more than can be done within the patience of clients.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the bounds"
)]
fn connections(subject: Subject, most: f64) -> u32 {
    if subject.is_bound_by_processor() {
        (most * 1.5).clamp(64.0, MOST_CONNECTIONS) as u32
    } else {
        2000
    }
}

fn tenths(millis: &[f64]) -> String {
    let texts: Vec<_> = millis.iter().map(|millis| format!("{millis:.1}")).collect();
    texts.join(", ")
}

fn show(points: &[Point]) {
    let head = [
        "times",
        "right/s",
        "of the most",
        "refused/s",
        "admin p99 ms",
        "admin most ms",
        "processors",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(points.iter().map(|point| {
        [
            format!("{}", point.multiple),
            format!("{:.0}", point.good),
            format!("{:.2}", point.part()),
            format!("{:.0}", point.refused),
            format!("{:.1}", point.admin.p99_ms),
            format!("{:.1}", point.admin.most_ms),
            format!("{:.2}", point.busy),
        ]
    }));
    for line in console::table(&rows).lines() {
        console::say(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_more_connections_than_a_second_has_replies() {
        assert_eq!(connections(Subject::Blockchain, 1000.0), 1500);
        assert_eq!(connections(Subject::Qrcode, 1e9), 16_000);
        assert_eq!(connections(Subject::Twitter, 2500.0), 2000);
    }
}
