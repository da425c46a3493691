//! What a run was and did, gathered step by step; as text, JSON and a page.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{FileCounts, Stats, text};
use crate::checks::requests::Request;
use crate::checks::source::Recounted;
use crate::checks::{Failures, Rule, Watch, files_off_mean};
use crate::clean::Reason;
use crate::load::{Published, Written};
use crate::zones::processed::RunManifest;

/// The name of the JSON format, with its version; `report.schema.json` of this crate describes it.
pub const FORMAT: &str = "tripod-etl-report-1";

/// A run in progress, or done.
#[derive(Debug)]
pub struct Run {
    began: SystemTime,
    pub(super) steps: Vec<(&'static str, Duration)>,
    database: String,
    manifest: Option<RunManifest>,
    pub(super) source: Option<(Vec<FileCounts>, Stats)>,
    is_source_said: bool,
    pub(super) watch: Option<Watch>,
    recounted: Option<Recounted>,
    served: Option<u64>,
    asked: Option<u64>,
    requests: Vec<Request>,
    failures: Failures,
    pub(super) published: Option<Published>,
    failed: Option<String>,
    last: Option<Value>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            began: SystemTime::now(),
            steps: Vec::new(),
            database: String::new(),
            manifest: None,
            source: None,
            is_source_said: false,
            watch: None,
            recounted: None,
            served: None,
            asked: None,
            requests: Vec::new(),
            failures: Failures::default(),
            published: None,
            failed: None,
            last: None,
        }
    }
}

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Held,
    Broken,
    /// Not looked at, since the run ended before or was not given what it takes.
    NotDone,
}

impl Verdict {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::NotDone => "not_done",
        }
    }
}

impl Run {
    /// Before a step; give the result to [`Self::end`].
    pub fn begin(&self) -> Instant {
        Instant::now()
    }

    /// After a step.
    pub fn end(&mut self, step: &'static str, began: Instant) {
        self.steps.push((step, began.elapsed()));
    }

    /// The database, without its password.
    pub fn database(&mut self, address: &str) {
        address.clone_into(&mut self.database);
    }

    /// What the rows were made of and by.
    pub fn run_manifest(&mut self, manifest: &RunManifest) {
        self.manifest = Some(manifest.clone());
    }

    /// Lines of the inputs by what became of them.
    pub fn source(&mut self, files: &[FileCounts], stats: &Stats) {
        self.source = Some((files.to_vec(), *stats));
    }

    /// The lines of the inputs were shown already; [`Self::to_text`] leaves them out.
    pub fn source_was_said(&mut self) {
        self.is_source_said = true;
    }

    /// Figures of the rows.
    pub fn watch(&mut self, watch: &Watch) {
        self.watch = Some(*watch);
    }

    /// What counting the tags of a sample again came to.
    pub fn recounted(&mut self, recounted: Recounted) {
        self.recounted = Some(recounted);
    }

    /// Requests answered from the table before it was published: the sample, and how many in all.
    pub fn served(&mut self, sample: &[Request], count: u64) {
        self.requests = sample.to_vec();
        self.served = Some(count);
    }

    /// The sample of requests.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Whether anything was put in force.
    pub fn is_published(&self) -> bool {
        self.published.is_some()
    }

    /// Requests answered by a running service afterwards.
    pub fn asked(&mut self, requests: u64) {
        self.asked = Some(requests);
    }

    /// What does not hold.
    pub fn failures(&mut self, failures: &Failures) {
        self.failures = failures.clone();
    }

    /// What is now in force.
    pub fn published(&mut self, published: &Published) {
        self.published = Some(published.clone());
    }

    /// Why the run ended without its result.
    pub fn failed(&mut self, line: &str) {
        self.failed = Some(line.to_owned());
    }

    /// The JSON report of the run before this one, to compare shares with.
    pub fn compare_with(&mut self, last: Value) {
        let is_one = last.get("format").and_then(Value::as_str) == Some(FORMAT);
        self.last = is_one.then_some(last);
    }

    pub(super) fn verdict(&self, rule: Rule) -> Verdict {
        if self.failures.count(rule) > 0 {
            return Verdict::Broken;
        }
        let is_done = match rule {
            Rule::Inputs | Rule::Lines => self.source.is_some(),
            Rule::SameTags => self.recounted.is_some(),
            Rule::Loaded => self.published.is_some(),
            Rule::Serving => self.served.is_some(),
            _ => self.watch.is_some(),
        };
        if is_done {
            Verdict::Held
        } else {
            Verdict::NotDone
        }
    }

    pub(super) fn rule_detail(&self, rule: Rule) -> String {
        if self.failures.count(rule) > 0 {
            let first = self.failures.of(rule).first();
            let count = self.failures.count(rule);
            return format!("{count} times, first: {}", first.map_or("", String::as_str));
        }
        match (rule, &self.recounted, self.served, &self.published) {
            (Rule::SameTags, Some(recounted), _, _) => format!(
                "{} pairs, {} with excluded tags in common",
                recounted.pairs, recounted.with_excluded
            ),
            (Rule::Serving, _, Some(served), _) => format!("{served} requests"),
            (Rule::Loaded, _, _, Some(published)) => {
                format!("checksum {:016x}", published.meta.packs_checksum)
            }
            _ => String::new(),
        }
    }

    /// The figures that are watched: name, value.
    pub(super) fn figures(&self) -> Vec<(&'static str, Value)> {
        let mut figures: Vec<(&'static str, Value)> = Vec::new();
        if let Some((files, stats)) = &self.source {
            let counts = &stats.counts;
            figures.push(("lines", counts.lines.into()));
            figures.push(("valid_share", share(counts.valid, counts.lines)));
            figures.push(("files_off_mean", files_off_mean(files, stats).into()));
        }
        let tally = |name: &str| self.manifest.as_ref()?.tally.get(name)?.as_u64();
        if let (Some(contacts), Some((_, stats))) = (tally("contact_tweets"), &self.source) {
            figures.push(("contact_share", share(contacts, stats.counts.valid)));
        }
        if let Some(watch) = &self.watch {
            let contacts = watch.contacts;
            figures.extend([
                (
                    "contacts_without_name_share",
                    share(watch.contacts_without_name, contacts),
                ),
                (
                    "contacts_without_description_share",
                    share(watch.contacts_without_description, contacts),
                ),
                ("longest_text_bytes", watch.longest_text.into()),
                (
                    "longest_description_bytes",
                    watch.longest_description.into(),
                ),
                ("most_tags", watch.most_tags.into()),
                ("most_rows", watch.most_rows.into()),
                ("most_rows_user", watch.most_rows_user.to_string().into()),
                (
                    "rows_off_id_time_share",
                    share(watch.rows_off_id_time, watch.rows_with_id_time),
                ),
                ("rows_of_user_0", watch.rows_of_user_0.into()),
            ]);
        }
        figures
    }

    /// Shares of the reasons, and how far they are from those of the last run.
    pub(super) fn reasons(&self) -> Vec<(&'static str, Value, Value)> {
        let Some((_, stats)) = &self.source else {
            return Vec::new();
        };
        let counts = &stats.counts;
        let last = self.last.as_ref().and_then(|last| last.get("reasons"));
        let shares = Reason::ALL.map(|reason| (reason.name(), counts.rejected(reason)));
        let all = shares.into_iter().chain([("valid", counts.valid)]);
        all.map(|(name, count)| {
            let now = share(count, counts.lines);
            let before = last.and_then(|last| last.get(name)?.get("share")?.as_f64());
            let change = now.as_f64().zip(before).map(|(now, before)| now - before);
            (name, now, change.map_or(Value::Null, Value::from))
        })
        .collect()
    }

    /// Whether the same inputs gave the same content as in the last run; `None` if they differ.
    pub(super) fn repeated(&self) -> Option<bool> {
        let last = self.last.as_ref()?;
        let same_inputs = last.get("inputs_sha256") == Some(&Value::from(self.inputs_sha256()?));
        let checksum = format!("{:016x}", self.published.as_ref()?.meta.packs_checksum);
        let before = last.get("published")?.get("packs_checksum")?.as_str()?;
        same_inputs.then_some(before == checksum)
    }

    /// Names the inputs and the list of excluded tags.
    fn inputs_sha256(&self) -> Option<String> {
        use sha2::{Digest as _, Sha256};
        let manifest = self.manifest.as_ref()?;
        let mut hasher = Sha256::new();
        for input in &manifest.inputs {
            hasher.update(format!("{} {}\n", input.input, input.crc32));
        }
        hasher.update(&manifest.excluded_sha256);
        let mut name = String::new();
        for byte in hasher.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        Some(name)
    }

    /// As JSON, see [`FORMAT`].
    pub fn to_json(&self) -> Value {
        let since_1970 = self.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let steps = self.steps.iter();
        let steps: Vec<Value> = steps
            .map(|(name, time)| json!({"name": name, "seconds": time.as_secs_f64()}))
            .collect();
        let checks: Vec<Value> = Rule::ALL
            .into_iter()
            .map(|rule| {
                json!({
                    "name": rule.name(),
                    "demand": rule.demand(),
                    "verdict": self.verdict(rule).name(),
                    "broken": self.failures.count(rule),
                    "detail": self.rule_detail(rule),
                    "first": self.failures.of(rule),
                })
            })
            .collect();
        let reasons: Map<String, Value> = self
            .reasons()
            .into_iter()
            .map(|(name, share, change)| {
                (name.to_owned(), json!({"share": share, "change": change}))
            })
            .collect();
        let files = self.source.iter().flat_map(|(files, _)| files);
        let files: Vec<Value> = files
            .map(|file| {
                let mut counts = file.counts.to_map();
                counts.insert("file".to_owned(), file.path.display().to_string().into());
                Value::Object(counts)
            })
            .collect();
        let watch: Map<String, Value> = self
            .figures()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let classes = |classes: Vec<(u64, u64)>| -> Vec<Value> {
            let classes = classes.into_iter();
            classes
                .map(|(up_to, count)| json!({"up_to": up_to, "count": count}))
                .collect()
        };
        let rows_per_user = self.watch.map(|watch| watch.rows_per_user.classes());
        let pack_bytes = self.published.as_ref().map(|it| it.pack_bytes.classes());
        json!({
            "format": FORMAT,
            "began": since_1970.as_secs(),
            "outcome": if self.failed.is_some() { "failed" } else { "published" },
            "failure": self.failed,
            "database": self.database,
            "engine": self.manifest.as_ref().map(|manifest| &manifest.engine),
            "inputs_sha256": self.inputs_sha256(),
            "steps": steps,
            "checks": checks,
            "reasons": reasons,
            "files": files,
            "tally": self.manifest.as_ref().map(|manifest| &manifest.tally),
            "watch": watch,
            "repeated": self.repeated(),
            "rows_per_user": classes(rows_per_user.unwrap_or_default()),
            "pack_bytes": classes(pack_bytes.unwrap_or_default()),
            "service_asked": self.asked,
            "published": self.published.as_ref().map(published),
        })
    }

    /// For the terminal.
    pub fn to_text(&self) -> String {
        let mut text = match &self.source {
            Some((files, stats)) if !self.is_source_said => text(files, stats),
            _ => String::new(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text);
        for rule in Rule::ALL {
            let verdict = self.verdict(rule).name().replace('_', " ");
            let detail = self.rule_detail(rule);
            let separator = if detail.is_empty() { "" } else { ": " };
            let _ = writeln!(
                text,
                "{verdict:<9} {:<12} {}{separator}{detail}",
                rule.name(),
                rule.demand()
            );
        }
        let _ = writeln!(text);
        for (name, value) in self.figures() {
            let _ = writeln!(text, "{name:<36} {value}");
        }
        match self.repeated() {
            Some(true) => text.push_str("the same inputs gave the same content as last time\n"),
            Some(false) => text.push_str("THE SAME INPUTS GAVE OTHER CONTENT THAN LAST TIME\n"),
            None => {}
        }
        let _ = writeln!(text);
        for (name, time) in &self.steps {
            let _ = writeln!(text, "{:>9.2} s  {name}", time.as_secs_f64());
        }
        text
    }
}

fn published(published: &Published) -> Value {
    let meta = &published.meta;
    let (kind, replaced, removed, bytes) = match published.written {
        Written::Everything => ("everything", None, None, published.bytes),
        Written::Changes {
            replaced,
            removed,
            bytes,
        } => ("changes", Some(replaced), Some(removed), bytes),
        Written::Nothing => ("nothing", None, None, 0),
    };
    json!({
        "generation": meta.generation.as_str(),
        "users": meta.users,
        "rows": meta.rows,
        "pack_bytes": published.bytes,
        "packs_checksum": format!("{:016x}", meta.packs_checksum),
        "written": kind,
        "replaced_parts": replaced,
        "removed_parts": removed,
        "written_bytes": bytes,
    })
}

/// Rounded to a millionth; null of nothing.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share of that many needs no more digits"
)]
fn share(part: u64, all: u64) -> Value {
    if all == 0 {
        return Value::Null;
    }
    let share = part as f64 / all as f64;
    ((share * 1e6).round() / 1e6).into()
}
