//! What the user typed.

mod groups;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use cost_model::{Load, Service};
use loadgen::find_max::Slo;
use loadgen::plan::Shard;
use loadgen::schedule::{Rate, Stage};
use loadgen::target::Target;
use loadgen::threshold::Threshold;
use loadgen::units;

pub(crate) use groups::{Exports, OpenFile, Place, Sending, open};

/// Load for the three services: schedules fixed before the run, every reply checked.
///
/// Exit codes: 0 well; 1 a wrong answer, a broken limit or a worse run; 3 the tool itself was too
/// slow for the rate, so that the figures mean nothing; 64 usage; 69 the target cannot be reached;
/// 74 the system refused something, such as to write a report.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, about)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One sub-command for each job.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send load, check the replies, report times
    Run(Box<Run>),
    /// Ask golden requests of every path, one after another; 1 on any wrong byte, in under 5 s
    Smoke(Smoke),
    /// Find the highest constant rate that meets an objective
    FindMax(Box<FindMax>),
    /// Load every service alone and all together, and print the scoreboard of the live tests
    LiveTest(Box<LiveTest>),
    /// Say what two reports differ in, and whether that is more than chance; 1 if B is worse
    Compare(Compare),
    /// Make one report of several, such as those of shards, or other formats of one
    Merge(Merge),
    /// Turn measured requests a second into nodes, pods and dollars an hour
    Plan(CostPlan),
}

/// Golden requests.
#[derive(Clone, Debug, Args)]
pub(crate) struct Smoke {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Ask this service only: blockchain, qrcode or twitter; may be repeated [default: all]
    #[arg(long = "service", value_name = "NAME")]
    pub(crate) services: Vec<Service>,
    /// The team's name, in the first line of replies [default: that of the first reply]
    #[arg(long, value_name = "TEAM", requires = "account")]
    pub(crate) team: Option<String>,
    /// The account number beside it
    #[arg(long, value_name = "ACCOUNT", requires = "team")]
    pub(crate) account: Option<String>,
    /// The table of /twitter holds the hand-made tweets; ask for one of their users
    #[arg(long)]
    pub(crate) twitter_tiny: bool,
}

/// A run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) sending: Sending,
    /// Open loop: requests a second, sent when they are due whatever the target does; without
    /// --rate, --stages and --closed it is 100
    #[arg(long, value_name = "RATE", group = "pace")]
    pub(crate) rate: Option<Rate>,
    /// Open loop, one stage after another: RATE:TIME or FROM..TO:TIME, with commas between them,
    /// as in `100:30s,500:30s,1000:30s` or `0..1000:1m,1000:10m`
    #[arg(long, value_name = "STAGES", group = "pace", value_parser = stages)]
    pub(crate) stages: Option<Stages>,
    /// Closed loop: each connection sends as soon as its last reply is there, so that a slow
    /// target gets less load and its times look better than they are
    #[arg(long, group = "pace")]
    pub(crate) closed: bool,
    /// When to stop sending [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(crate) duration: Option<Duration>,
    /// Requests to send at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Send part K of N of the load, K from 0, as the pods of an indexed Kubernetes Job do
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<Shard>,
    /// Begin at this time, in seconds since 1970, so that all shards do; up to an hour ahead
    #[arg(long, value_name = "SECONDS")]
    pub(crate) start_at: Option<u64>,
    /// Fail if this holds of the response time and so on: `p99>10ms`, `errors>0.1%`, `rate<900`,
    /// `qrcode.p99.9>5ms`
    #[arg(long, value_name = "LIMIT")]
    pub(crate) fail_if: Vec<Threshold>,
    #[command(flatten)]
    pub(crate) exports: Exports,
}

/// Stages as one value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stages(pub(crate) Vec<Stage>);

fn stages(text: &str) -> Result<Stages, String> {
    loadgen::schedule::parse_stages(text).map(Stages)
}

/// A search.
#[derive(Clone, Debug, Args)]
pub(crate) struct FindMax {
    #[command(flatten)]
    pub(crate) sending: Sending,
    /// What every step must meet, with commas between: `p99<20ms,errors<0.1%`
    #[arg(long, value_name = "LIMITS")]
    pub(crate) slo: Slo,
    /// First rate to try
    #[arg(long, value_name = "RATE", default_value = "100")]
    pub(crate) from: Rate,
    /// Highest rate to try
    #[arg(long, value_name = "RATE", default_value = "1000000")]
    pub(crate) to: Rate,
    /// Length of each step
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    pub(crate) step: Duration,
    /// How near the answer must be to a rate that fails
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = units::share)]
    pub(crate) precision: f64,
    /// Begin no step later than this
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = units::duration)]
    pub(crate) max_time: Duration,
    /// Write the steps and the answer as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// The scoreboard.
#[derive(Clone, Debug, Args)]
pub(crate) struct LiveTest {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Where /blockchain is, if elsewhere
    #[arg(long, value_name = "URL")]
    pub(crate) blockchain: Option<Target>,
    /// Where /qrcode is, if elsewhere
    #[arg(long, value_name = "URL")]
    pub(crate) qrcode: Option<Target>,
    /// Where /twitter is, if elsewhere
    #[arg(long, value_name = "URL")]
    pub(crate) twitter: Option<Target>,
    /// Rows of the table of /twitter, as `etl rows` writes them: its replies are compared with exact answers
    #[arg(long, value_name = "FILE", group = "asked")]
    pub(crate) rows: Option<PathBuf>,
    /// User ids for /twitter, one a line; only the shape of its replies is checked then
    #[arg(long, value_name = "FILE", group = "asked")]
    pub(crate) users: Option<PathBuf>,
    /// Recorded requests for /twitter with their replies; with none of the three it is left out
    #[arg(long, value_name = "FILE", group = "asked")]
    pub(crate) twitter_corpus: Option<PathBuf>,
    /// Length of each of the tests
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub(crate) duration: Duration,
    /// Connections to each service
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    pub(crate) connections: u16,
    /// Threads of the tool
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Open loop, at so much of the rates of the original tests, instead of a closed loop; the mixed test
    /// at as much as leaves every service within its own
    #[arg(long, value_name = "PERCENT", value_parser = units::share)]
    pub(crate) share: Option<f64>,
    /// Of requests
    #[arg(long, value_name = "N", default_value_t = 15_619)]
    pub(crate) seed: u64,
    /// Where services tell their /version, for the scoreboard [default: port 9090 of each target]
    #[arg(long = "admin", value_name = "URL")]
    pub(crate) admins: Vec<Target>,
    /// Write the scoreboard as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// No progress on standard error
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Two reports.
#[derive(Clone, Debug, Args)]
pub(crate) struct Compare {
    /// Report of the run to compare with, as JSON
    pub(crate) a: PathBuf,
    /// Report of the other run
    pub(crate) b: PathBuf,
    /// Changes up to this are as good as none
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = units::share)]
    pub(crate) tolerance: f64,
    /// Write the comparison as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Reports of one load.
#[derive(Clone, Debug, Args)]
pub(crate) struct Merge {
    /// Reports as JSON
    #[arg(required = true, num_args = 1..=1000, value_name = "REPORT")]
    pub(crate) reports: Vec<PathBuf>,
    /// Fail if this holds, as for `run`
    #[arg(long, value_name = "LIMIT")]
    pub(crate) fail_if: Vec<Threshold>,
    #[command(flatten)]
    pub(crate) exports: Exports,
}

/// What it costs.
#[derive(Clone, Debug, Args)]
pub(crate) struct CostPlan {
    /// Dollars an hour that may be spent
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    pub(crate) budget: f64,
    /// Prices, in the shape of benches/prices.toml [default: that file as it was when this was built]
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
    /// Scoreboard of `live-test --json`, or report of `run --json`: what was measured; with neither this
    /// nor --per-vcpu the figures of benches/rates.toml count
    #[arg(long, value_name = "FILE", requires = "server_vcpus")]
    pub(crate) measured: Option<PathBuf>,
    /// vCPUs that the measured service had
    #[arg(long, value_name = "N", requires = "measured", value_parser = dollars)]
    pub(crate) server_vcpus: Option<f64>,
    /// What one vCPU does: blockchain, qrcode or twitter = requests a second; may be repeated
    #[arg(long = "per-vcpu", value_name = "SERVICE=RATE")]
    pub(crate) per_vcpu: Vec<Load>,
    /// What is wanted: SERVICE=RATE; may be repeated [default: the original live tests]
    #[arg(long = "load", value_name = "SERVICE=RATE")]
    pub(crate) loads: Vec<Load>,
    /// What nodes are
    #[arg(long, value_name = "NAME", default_value = "c8g.large")]
    pub(crate) node: String,
    /// The database; `none` without /twitter
    #[arg(long, value_name = "NAME", default_value = "db.r7g.xlarge")]
    pub(crate) database: String,
    /// How busy a vCPU may be
    #[arg(long, value_name = "PERCENT", default_value = "70%", value_parser = units::share)]
    pub(crate) utilisation: f64,
    /// vCPUs of each node that the system and its agents take
    #[arg(long, value_name = "N", default_value = "0.2", value_parser = dollars)]
    pub(crate) reserved_vcpus: f64,
    /// Nodes at least, so that one may fail
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) min_nodes: u32,
    /// Write the plan as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// A number from above 0 to a million.
fn dollars(text: &str) -> Result<f64, &'static str> {
    let wrong = "a number above 0, up to 1000000";
    let number: f64 = text.parse().map_err(|_| wrong)?;
    if number > 0.0 && number <= 1e6 {
        Ok(number)
    } else {
        Err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
