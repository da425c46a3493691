//! A processed zone into the table: checked as a whole before anybody reads a row of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use database_address::Address;
use twitter_core::table::TableMeta;

use super::changes::Changes;
use super::target::{self, CompareSink, Target, WriteSink};
use super::walk::{Walk, Walked};
use super::{Published, Tally, Written, serve};
use crate::checks::requests::Request;
use crate::checks::source::{self, Source};
use crate::checks::{self, Expected, Failures, RowChecks, Rule, Terms};
use crate::failure::{Failure, FailureKind};
use crate::report::Run;
use crate::score::Excluded;
use crate::steps::clean;
use crate::zones::lock::Lock;
use crate::zones::place::Place;
use crate::zones::rows::{KeyRange, RowsZone};
use crate::zones::working::InputManifest;

/// Most changes in one transaction: the database keeps the old state of all of them until its end.
const MAX_CHANGED_BYTES: u64 = 1 << 30;
/// With more than this share of the users changed, in percent, a whole load is faster: a changed part
/// costs some eight times as much as one in a whole load, which spares the comparison too.
const MAX_CHANGED_PERCENT: u64 = 10;
/// So few changes are always written as such, whatever their share.
const FEW_CHANGES: u64 = 1000;
/// Most changes of one round trip.
const BATCH_CHANGES: usize = 256;

/// Whether a table in force may be changed or is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Only what has changed is written, where that is little.
    #[default]
    Changes,
    /// Everything is written anew.
    Full,
}

/// What the rows were made of.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The working zone.
    pub working: &'a Place,
    /// The excluded tags.
    pub excluded: &'a Excluded,
}

/// What a run says that its rows were made of.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The working zone.
    pub working: Place,
    /// The excluded tags.
    pub excluded: Excluded,
}

impl Recorded {
    /// Reads it from the manifest of a processed zone.
    ///
    /// # Errors
    ///
    /// There is no finished run, or its manifest is damaged.
    pub fn of(processed: &Place) -> Result<Self, Failure> {
        let manifest = RowsZone::open(processed)?.manifest().clone();
        let working = Place::parse(&manifest.working).map_err(|failure| {
            let line = format!("{processed}: run.json: {failure}; score again");
            Failure::new(FailureKind::Input, line)
        })?;
        Ok(Self {
            working,
            excluded: Excluded::parse(&manifest.excluded.join("\n")),
        })
    }
}

/// A load of a processed zone.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// Where the rows are.
    pub processed: &'a Place,
    /// What they were made of, which they are checked against.
    pub origin: Origin<'a>,
    /// Where the table is.
    pub address: &'a Address,
    /// Threads that pack, and connections.
    pub jobs: usize,
    /// Whole or changes.
    pub mode: Mode,
    /// Folder for what does not fit in memory.
    pub spill_folder: &'a Path,
}

/// What a load has in hand.
struct Hand<'a> {
    zone: &'a RowsZone,
    terms: Terms,
    expected: Expected,
    inputs: Vec<InputManifest>,
    failures: Failures,
    report: &'a mut Run,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Load<'_> {
    /// Loads and publishes. What was found on the way is in `report`, also when it fails.
    /// `progress` is called with rows done, from several threads.
    ///
    /// # Errors
    ///
    /// The zone cannot be read, a check does not hold, or the database fails; the table in force is
    /// then what it was.
    pub fn run(
        &self,
        report: &mut Run,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Published, Failure> {
        report.database(&self.address.to_string());
        // Nobody may change what is being read.
        let working = self.origin.working;
        if !working.exists() {
            let line = format!(
                "{working}: the facts that the rows were made of, and must be checked against, are not there; say with --working where they are"
            );
            return Err(Failure::new(FailureKind::Input, line));
        }
        let _facts = Lock::shared(working)?;
        let _rows = Lock::shared(self.processed)?;
        let zone = RowsZone::open(self.processed)?;
        let mut failures = Failures::default();
        let (source, inputs) = self.source(&zone, &mut failures)?;
        let manifest = zone.manifest();
        report.run_manifest(manifest);
        checks::check_lines(&source.stats, &source.files, &mut failures);
        report.source(&source.files, &source.stats);
        if !failures.is_empty() {
            report.failures(&failures);
            return Err(failed(&failures));
        }
        let relations = source.stats.relations;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(i64::MAX, |now| {
            i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
        });
        let excluded = self.origin.excluded.clone();
        let mut hand = Hand {
            zone: &zone,
            terms: Terms::new(now, excluded, self.spill_folder.to_owned()),
            expected: Expected {
                rows: source::tallied(manifest, "table_rows")?,
                contact_tweets: source::tallied(manifest, "contact_tweets")?,
                from_relations: (relations.rows(), relations.with_oneself),
            },
            inputs,
            failures,
            report,
            progress,
        };
        let mut target = Target::begin(self.address)?;
        let published = self.publish(&mut target, &mut hand);
        hand.report.failures(&hand.failures);
        target.close(published.is_err());
        let published = published?;
        report.published(&published);
        Ok(published)
    }

    /// Compares the run with what it was made of.
    fn source(
        &self,
        zone: &RowsZone,
        failures: &mut Failures,
    ) -> Result<(Source, Vec<InputManifest>), Failure> {
        let inputs = clean::inputs(self.origin.working)?;
        let holds = self.origin.excluded.sha256() == zone.manifest().excluded_sha256;
        failures.unless(Rule::Inputs, holds, || {
            "the list of excluded tags is not the one of the run; score again".to_owned()
        });
        let source = source::compare(zone.manifest(), &inputs, failures);
        Ok((source, inputs))
    }

    fn publish(&self, target: &mut Target, hand: &mut Hand<'_>) -> Result<Published, Failure> {
        let in_force = match self.mode {
            Mode::Changes => target.in_force()?,
            Mode::Full => None,
        };
        if let Some(meta) = in_force
            && let Some(published) = self.changes(&meta, target, hand)?
        {
            return Ok(published);
        }
        self.whole(target, hand)
    }

    /// Everything into a table of its own.
    fn whole(&self, target: &mut Target, hand: &mut Hand<'_>) -> Result<Published, Failure> {
        let started = hand.report.begin();
        target.create()?;
        let stop = AtomicBool::new(false);
        let walk = hand.walk(&stop);
        let walked = match target {
            Target::MySql(mysql) => {
                let ranges = hand.zone.ranges(self.jobs);
                walk.all(&ranges, |_| mysql.writer())?
            }
            Target::Sqlite(sqlite) => vec![walk.range(KeyRange::ALL, WriteSink::Sqlite(sqlite))?],
        };
        hand.report.end("pack, load and read back", started);
        let (checks, tally, _) = add_up(walked)?;
        let requests = self.gate(hand, checks)?;
        target.check_count(tally.parts)?;
        let started = hand.report.begin();
        target.read_shadow();
        let asked = serve::check(&requests, target, &mut hand.failures)?;
        hand.report.served(&requests, asked);
        hand.report.end("answer a sample", started);
        hand.hold()?;
        let started = hand.report.begin();
        let meta = tally.meta();
        target.swap(&meta)?;
        hand.report.end("swap", started);
        Ok(tally.published(meta, Written::Everything))
    }

    /// Only what has changed; `None` when that is too much.
    fn changes(
        &self,
        meta: &TableMeta,
        target: &mut Target,
        hand: &mut Hand<'_>,
    ) -> Result<Option<Published>, Failure> {
        let started = hand.report.begin();
        let stop = AtomicBool::new(false);
        let limit = target::Limit {
            changes: (meta.users * MAX_CHANGED_PERCENT / 100).max(FEW_CHANGES),
            bytes: MAX_CHANGED_BYTES,
            found: AtomicU64::new(0),
            found_bytes: AtomicU64::new(0),
        };
        let folder = hand.terms.spill_folder();
        let walk = hand.walk(&stop);
        let walked = match target {
            Target::MySql(mysql) => {
                let ranges = hand.zone.ranges(self.jobs);
                walk.all(&ranges, |range| mysql.comparer(range, folder, &limit))?
            }
            Target::Sqlite(sqlite) => {
                let sink = CompareSink::sqlite(sqlite, folder, &limit)?;
                vec![walk.range(KeyRange::ALL, sink)?]
            }
        };
        hand.report.end("pack and compare with the table", started);
        if limit.is_passed() {
            return Ok(None);
        }
        let (checks, tally, changes) = add_up(walked)?;
        let requests = self.gate(hand, checks)?;
        let written = Written::Changes {
            replaced: changes.iter().map(|changes| changes.replaced).sum(),
            removed: changes.iter().map(|changes| changes.removed).sum(),
            bytes: changes.iter().map(|changes| changes.bytes).sum(),
        };
        let is_same = changes.iter().all(|changes| changes.count() == 0);
        let started = hand.report.begin();
        let batch_bytes = target.begin_changes()?;
        for changes in changes {
            let mut changes = changes.read()?;
            loop {
                let batch = changes.batch(batch_bytes, BATCH_CHANGES)?;
                if batch.is_empty() {
                    break;
                }
                target.change(batch)?;
            }
        }
        hand.report.end("write changes", started);
        let started = hand.report.begin();
        let asked = serve::check(&requests, target, &mut hand.failures)?;
        hand.report.served(&requests, asked);
        hand.report.end("answer a sample", started);
        hand.hold()?;
        let new = tally.meta();
        let fits = (meta.users, meta.rows, meta.packs_checksum)
            == (new.users, new.rows, new.packs_checksum);
        if is_same && fits {
            // Services keep what they have cached: it is still right.
            target.rollback_changes()?;
            return Ok(Some(tally.published(meta.clone(), Written::Nothing)));
        }
        let started = hand.report.begin();
        target.commit_changes(&new, tally.parts)?;
        hand.report.end("commit", started);
        Ok(Some(tally.published(new, written)))
    }

    /// All that can be said of the rows before they are asked for.
    fn gate(&self, hand: &mut Hand<'_>, parts: Vec<RowChecks>) -> Result<Vec<Request>, Failure> {
        let started = hand.report.begin();
        let checked = checks::finish(parts, &hand.expected, self.jobs).map_err(|error| {
            let line = format!("the temporary file for checks: {error}; see --spill");
            Failure::new(FailureKind::Disk, line)
        })?;
        hand.failures.merge(checked.failures);
        hand.report.watch(&checked.watch);
        hand.report.end("compare contents", started);
        let started = hand.report.begin();
        let recounted = source::recount(
            checked.pairs,
            self.origin.working,
            &hand.inputs,
            self.origin.excluded,
            &mut hand.failures,
        )?;
        hand.report.recounted(recounted);
        hand.report.end("count tags of a sample again", started);
        hand.hold()?;
        Ok(checked.requests.into_requests())
    }
}

impl<'h> Hand<'h> {
    fn walk<'a>(&'a self, stop: &'a AtomicBool) -> Walk<'a>
    where
        'h: 'a,
    {
        Walk {
            zone: self.zone,
            terms: &self.terms,
            progress: self.progress,
            stop,
        }
    }

    /// An error once anything does not hold.
    fn hold(&self) -> Result<(), Failure> {
        if self.failures.is_empty() {
            return Ok(());
        }
        Err(failed(&self.failures))
    }
}

type AddedUp<D> = (Vec<RowChecks>, Tally, Vec<D>);

/// What all threads did. Rows that cannot be packed are an error only if no check says why.
fn add_up<D>(walked: Vec<Walked<D>>) -> Result<AddedUp<D>, Failure> {
    let mut tally = Tally::default();
    let (mut checks, mut done) = (Vec::new(), Vec::new());
    for walked in walked {
        tally.merge(&walked.tally);
        if let Some(failure) = walked.unpackable
            && walked.checks.holds()
        {
            return Err(failure);
        }
        checks.push(walked.checks);
        done.extend(walked.done);
    }
    Ok((checks, tally, done))
}

fn failed(failures: &Failures) -> Failure {
    let lines = failures.lines();
    let first = lines.first().map_or("", String::as_str);
    let broken = Rule::ALL.iter().filter(|rule| failures.count(**rule) > 0);
    let line = format!(
        "{} checks do not hold, nothing was published; first: {first}",
        broken.count()
    );
    Failure::new(FailureKind::Check, line)
}

impl target::Limit {
    fn is_passed(&self) -> bool {
        self.found.load(Ordering::Relaxed) > self.changes
            || self.found_bytes.load(Ordering::Relaxed) > self.bytes
    }

    /// Notes what one thread found anew. Whether that is still little enough.
    pub(super) fn note(&self, before: (u64, u64), changes: &Changes) -> bool {
        self.found
            .fetch_add(changes.count() - before.0, Ordering::Relaxed);
        self.found_bytes
            .fetch_add(changes.bytes - before.1, Ordering::Relaxed);
        !self.is_passed()
    }
}
