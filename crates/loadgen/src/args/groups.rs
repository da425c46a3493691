//! Options that several sub-commands share.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use loadgen::plan::{Settings, Share, Spec, file, spec::Kind};
use loadgen::report::{Report, csv, hlog, html, json};
use loadgen::target::Target;
use loadgen::units;

/// Where to, and what may be.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// Where requests go: http://HOST[:PORT]
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<Target>,
    /// Permit targets that are not on this machine
    #[arg(long)]
    pub(crate) allow_remote: bool,
}

/// What is sent and how. Options win over the plan file.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sending {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Plan file: scenarios, stages, limits and the rest in TOML; docs/loadgen.md has the keys
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// What to send: blockchain, qrcode, twitter or corpus, then options such as
    /// `,weight=3,name=NAME,target=URL,invalid=10%,corpus=FILE,users=FILE,rows=FILE,size=N`; repeat
    /// it for a mix
    ///
    /// Weights are shares of the number of requests. `twitter` needs `rows=FILE` (the table's rows, as `etl
    /// rows` writes them, for exact answers), `corpus=FILE` (recorded requests) or `users=FILE` (a user
    /// id a line; then only the shape of replies is checked).
    #[arg(long = "scenario", value_name = "NAME[,OPTION=VALUE...]")]
    pub(crate) scenarios: Vec<Spec>,
    /// Recorded requests, one target a line, perhaps a tab and the expected body with \n, \r, \t
    /// and \\ escaped; short for `--scenario corpus,corpus=FILE`
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: Option<PathBuf>,
    /// Share of generated requests that are invalid [default: 10%]
    #[arg(long, value_name = "PERCENT", value_parser = units::share)]
    pub(crate) invalid: Option<f64>,
    /// Requests to generate for each scenario [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) size: Option<u32>,
    /// Of generated requests and the order of scenarios [default: 15619]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Connections to each target, kept alive [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20_000))]
    pub(crate) connections: Option<u16>,
    /// Threads of the tool [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// For a connect and for a reply [default: 10s, and 2s in a search]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Which replies to check: all, sample:N (one of N), none, or auto: all while that takes less
    /// than a fifth of a thread, else as many as fit; the share is reported [default: auto]
    #[arg(long, value_name = "SHARE")]
    pub(crate) check: Option<Share>,
    /// The line that replies begin with [default: that of the first reply]
    #[arg(long, value_name = "TEAM,ACCOUNT")]
    pub(crate) team_line: Option<String>,
    /// A field for every request, such as `X-Forwarded-For: 192.0.2.7`
    #[arg(long = "header", value_name = "FIELD", value_parser = units::field)]
    pub(crate) headers: Vec<String>,
    /// Open loop: a send that begins later than this is late [default: 5ms]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(crate) late_after: Option<Duration>,
    /// Open loop: share of sends that may be late because of the tool [default: 1%]
    #[arg(long, value_name = "PERCENT", value_parser = units::share)]
    pub(crate) max_late: Option<f64>,
    /// Open loop: threads never sleep while they wait. Takes a whole processor for each, sends more
    /// exactly and costs less for a request; for high rates on a machine with processors to spare
    #[arg(long)]
    pub(crate) spin: bool,
    /// Where services tell their /version, for the report [default: port 9090 of each target]
    #[arg(long = "admin", value_name = "URL")]
    pub(crate) admins: Vec<Target>,
    /// No progress on standard error
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Sending {
    /// What the plan file says, and the options over it.
    ///
    /// # Errors
    ///
    /// When the plan file is wrong.
    pub(crate) fn settings(&self) -> Result<Settings> {
        let mut settings = match &self.plan {
            Some(path) => file::read(path)?,
            None => Settings::default(),
        };
        let mut scenarios = self.scenarios.clone();
        if let Some(file) = &self.corpus {
            let mut spec = Spec::new(Kind::Corpus);
            spec.corpus = Some(file.clone());
            scenarios.push(spec);
        }
        if !scenarios.is_empty() {
            settings.scenarios = scenarios;
        }
        if self.place.target.is_some() {
            settings.target.clone_from(&self.place.target);
        }
        settings.allow_remote = self.place.allow_remote;
        settings.headers.extend(self.headers.iter().cloned());
        if self.team_line.is_some() {
            settings.team_line.clone_from(&self.team_line);
        }
        if let Some(size) = self.size {
            settings.size = usize::try_from(size)?;
        }
        put(&mut settings.invalid, self.invalid);
        put(&mut settings.seed, self.seed);
        put(&mut settings.connections, self.connections);
        put(&mut settings.threads, self.threads);
        put(&mut settings.timeout, self.timeout);
        put(&mut settings.check, self.check);
        put(&mut settings.late_after, self.late_after);
        put(&mut settings.max_late, self.max_late);
        settings.spin |= self.spin;
        Ok(settings)
    }
}

fn put<T: Copy>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// Files of a report.
#[derive(Clone, Debug, Args)]
pub(crate) struct Exports {
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write one line for each second and scenario
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Write a log of interval histograms that HdrHistogram's plotters read
    #[arg(long, value_name = "FILE")]
    pub(crate) hlog: Option<PathBuf>,
    /// Write one page with tables and plots
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

impl Exports {
    /// Opens the files that are wanted, so that nothing is sent for a report that has no place.
    ///
    /// # Errors
    ///
    /// When one cannot be written.
    pub(crate) fn open(&self) -> Result<OpenExports> {
        Ok(OpenExports {
            json: open(self.json.as_deref())?,
            csv: open(self.csv.as_deref())?,
            hlog: open(self.hlog.as_deref())?,
            html: open(self.html.as_deref())?,
        })
    }
}

/// Files of a report that can be written.
#[derive(Debug)]
pub(crate) struct OpenExports {
    json: Option<OpenFile>,
    csv: Option<OpenFile>,
    hlog: Option<OpenFile>,
    html: Option<OpenFile>,
}

impl OpenExports {
    /// Writes them.
    ///
    /// # Errors
    ///
    /// When one cannot be written; those after it are not there then.
    pub(crate) fn write(self, report: &Report) -> Result<()> {
        if let Some(file) = self.json {
            file.write(json::write(report)?.as_bytes())?;
        }
        if let Some(file) = self.csv {
            file.write(csv::write(report).as_bytes())?;
        }
        if let Some(file) = self.hlog {
            file.write(&hlog::write(report)?)?;
        }
        if let Some(file) = self.html {
            file.write(html::write(report).as_bytes())?;
        }
        Ok(())
    }
}

/// A file that is there to be written; until then it holds what it held.
#[derive(Debug)]
pub(crate) struct OpenFile {
    path: PathBuf,
    file: File,
}

/// Opens a file, if one is wanted.
///
/// # Errors
///
/// When that is refused.
pub(crate) fn open(path: Option<&Path>) -> Result<Option<OpenFile>> {
    let Some(path) = path else { return Ok(None) };
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    let path = path.to_owned();
    Ok(Some(OpenFile { path, file }))
}

impl OpenFile {
    /// Writes all of it, in place of what it held.
    ///
    /// # Errors
    ///
    /// When that is refused.
    pub(crate) fn write(mut self, bytes: &[u8]) -> Result<()> {
        let shown = self.path.display();
        // Terminals and pipes have no length.
        let written = match self.file.metadata() {
            Ok(metadata) if metadata.is_file() => self.file.set_len(0),
            _ => Ok(()),
        };
        let written = written.and_then(|()| self.file.write_all(bytes));
        written.with_context(|| format!("cannot write {shown}"))
    }
}
