//! What the user typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use loadgen::plan::Share;
use loadgen::schedule::Rate;
use loadgen::smoke::Service;
use loadgen::target::Target;
use loadgen::threshold::Threshold;

use crate::scenario::Spec;

/// Load for the three services: schedules fixed before the run, every reply checked.
///
/// Exit codes: 0 well; 1 a wrong answer or a broken limit; 3 the tool itself was too slow for the
/// rate, so that the figures mean nothing; 64 usage; 69 the target cannot be reached; 74 the
/// system refused something, such as to write a report.
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
}

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
    pub(crate) place: Place,
    /// What to send: blockchain, qrcode, twitter or corpus, then options such as
    /// `,weight=3,target=URL,invalid=10%,corpus=FILE,users=FILE,size=N`; repeat it for a mix
    ///
    /// Weights are shares of the number of requests. `twitter` needs `corpus=FILE` (recorded
    /// requests) or `users=FILE` (a user id a line; then only the shape of replies is checked).
    #[arg(long = "scenario", value_name = "NAME[,OPTION=VALUE...]")]
    pub(crate) scenarios: Vec<Spec>,
    /// Recorded requests, one target a line, perhaps a tab and the expected body with \n, \r, \t
    /// and \\ escaped; short for `--scenario corpus,corpus=FILE`
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: Option<PathBuf>,
    /// Share of generated requests that are invalid
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = share)]
    pub(crate) invalid: f64,
    /// Requests to generate for each scenario
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) size: u32,
    /// Of generated requests and the order of scenarios
    #[arg(long, value_name = "N", default_value_t = 15_619)]
    pub(crate) seed: u64,
    /// Open loop: requests a second, sent when they are due whatever the target does; without it
    /// each connection sends as soon as its last reply is there
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<Rate>,
    /// When to stop sending
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Requests to send at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Connections to each target, kept alive
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    pub(crate) connections: u16,
    /// Threads of the tool
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// For a connect and for a reply
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Which replies to check: all, sample:N (one of N) or none
    #[arg(long, value_name = "SHARE", default_value = "all")]
    pub(crate) check: Share,
    /// The line that replies begin with [default: that of the first reply]
    #[arg(long, value_name = "TEAM,ACCOUNT")]
    pub(crate) team_line: Option<String>,
    /// A field for every request, such as `X-Forwarded-For: 192.0.2.7`
    #[arg(long = "header", value_name = "FIELD", value_parser = field)]
    pub(crate) headers: Vec<String>,
    /// Fail if this holds of the response time and so on: `p99>10ms`, `errors>0.1%`, `rate<900`,
    /// `qrcode.p99.9>5ms`
    #[arg(long, value_name = "LIMIT")]
    pub(crate) fail_if: Vec<Threshold>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Open loop: a send that begins later than this is late
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = duration)]
    pub(crate) late_after: Duration,
    /// Open loop: share of sends that may be late because of the tool
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = share)]
    pub(crate) max_late: f64,
    /// No progress on standard error
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Longest time that can be given.
const MAX_TIME: Duration = Duration::from_hours(24);

/// A time such as `10s`, `1.5s`, `250ms` or `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    let wrong = "a time is a number with us, ms, s, m or h, above 0 and up to a day";
    let units = [
        ("us", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let found = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, seconds) = found.ok_or(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong)?;
    let time = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong)?;
    if time.is_zero() || time > MAX_TIME {
        return Err(wrong);
    }
    Ok(time)
}

/// A share such as `10%`, as a number from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, &'static str> {
    let wrong = "a share is a number from 0 to 100 with %";
    let number = text.strip_suffix('%').ok_or(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong)?;
    if (0.0..=100.0).contains(&number) {
        Ok(number / 100.0)
    } else {
        Err(wrong)
    }
}

fn field(text: &str) -> Result<String, &'static str> {
    let is_printable = text
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    match text.split_once(':') {
        Some((name, _)) if is_printable && !name.is_empty() && !name.contains(' ') => {
            Ok(text.to_owned())
        }
        _ => Err("a field is NAME: VALUE in printable characters"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory as _;

    use super::{Arguments, duration, field, share};

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_have_units_and_limits() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for text in ["", "s", "5", "0s", "-1s", "25h", "nans", "infs"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_have_a_percent_sign() {
        assert_eq!(share("0%"), Ok(0.0));
        assert_eq!(share("100%"), Ok(1.0));
        for text in ["", "5", "101%", "-1%", "nan%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_cannot_hold_a_second_one() {
        assert!(field("X-A: b c").is_ok());
        for text in ["", "x", ": b", "a b: c", "a: b\r\nc: d"] {
            assert!(field(text).is_err(), "{text}");
        }
    }
}
