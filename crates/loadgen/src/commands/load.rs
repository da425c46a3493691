//! Commands that send load.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use cost_model::original;
use loadgen::failure::Failure;
use loadgen::find_max::{self, Limit, Step};
use loadgen::live::Live;
use loadgen::live_test::{self, Scoreboard};
use loadgen::plan::settings::Pace;
use loadgen::plan::{Plan, Settings, Spec, spec::Kind};
use loadgen::report::{Report, host, text};
use loadgen::run::{self, Signals, Snapshot};
use loadgen::schedule::Rate;
use loadgen::screen::Screen;
use loadgen::target::Target;

use super::{Verdict, print, runtime, write_json};
use crate::args::{FindMax, LiveTest, Run, open};

/// For a connect and for a reply in a search, where overload is sought and must end soon.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a run may wait for its begin.
const MAX_AHEAD: Duration = Duration::from_hours(1);

/// `loadgen run`.
pub(crate) fn run(options: &Run) -> Result<Verdict, Failure> {
    let settings = settings(options).map_err(Failure::usage)?;
    let plan = settings.plan().map_err(Failure::usage)?;
    let ahead = ahead(options.start_at).map_err(Failure::usage)?;
    let exports = options.exports.open().map_err(Failure::io)?;
    let mut progress = Progress::new(&plan, &title(&plan), options.sending.quiet);
    let (outcome, versions) = runtime()?.block_on(async {
        tokio::time::sleep(ahead).await;
        let admins = &options.sending.admins;
        let versions = versions(&settings, admins).await;
        let mut signals = Signals::default();
        let outcome = run::run(&plan, &mut signals, |snapshot| progress.show(snapshot)).await?;
        Ok((outcome, versions))
    })?;
    progress.end();
    let mut report = Report::new(&plan, &outcome, &settings.fail_if);
    report.targets = versions;
    exports.write(&report).map_err(Failure::io)?;
    print(&text::write(&report))?;
    if settings.pace == Pace::Unsaid {
        print(
            "The rate is 100 a second when nothing is said: --rate, --stages and --closed say it, and \
               find-max finds the highest.\n",
        )?;
    }
    Ok(Verdict::of(&report))
}

fn settings(options: &Run) -> anyhow::Result<Settings> {
    let mut settings = options.sending.settings()?;
    let said = if options.closed {
        Some(Pace::Closed)
    } else if let Some(rate) = options.rate {
        Some(Pace::Rate(rate))
    } else {
        let stages = options.stages.as_ref();
        stages.map(|stages| Pace::Stages(stages.0.clone()))
    };
    if let Some(pace) = said {
        // A length in the plan file belongs to its own pace.
        if matches!(pace, Pace::Stages(_)) {
            settings.duration = None;
        }
        settings.pace = pace;
    }
    settings.duration = options.duration.or(settings.duration);
    settings.requests = options.requests.or(settings.requests);
    settings.shard = options.shard.unwrap_or(settings.shard);
    settings.fail_if.extend(options.fail_if.iter().cloned());
    Ok(settings)
}

/// How long it is until a time.
fn ahead(start_at: Option<u64>) -> anyhow::Result<Duration> {
    let Some(start_at) = start_at else {
        return Ok(Duration::ZERO);
    };
    let start = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(start_at));
    let ahead = start.and_then(|start| start.duration_since(SystemTime::now()).ok());
    match ahead {
        Some(ahead) if ahead <= MAX_AHEAD => Ok(ahead),
        _ => bail!("--start-at {start_at} is not within the next hour"),
    }
}

async fn versions(settings: &Settings, admins: &[Target]) -> Vec<host::Version> {
    let mut targets: Vec<Target> = Vec::new();
    let own = settings.scenarios.iter().map(|spec| spec.target.as_ref());
    for target in own.filter_map(|own| own.or(settings.target.as_ref())) {
        if !targets.contains(target) {
            targets.push(target.clone());
        }
    }
    host::versions(&targets, admins, settings.allow_remote).await
}

/// `loadgen find-max`.
pub(crate) fn find_max(options: &FindMax) -> Result<Verdict, Failure> {
    let mut settings = options.sending.settings().map_err(Failure::usage)?;
    if options.sending.timeout.is_none() {
        settings.timeout = SEARCH_TIMEOUT;
    }
    settings.pace = Pace::Rate(options.from);
    settings.duration = Some(options.step);
    let plan = settings.plan().map_err(Failure::usage)?;
    let labels: BTreeSet<&str> = plan.scenarios.iter().map(|s| s.label.as_str()).collect();
    if let Some(strange) = options.slo.labels().find(|label| !labels.contains(label)) {
        let error = anyhow::anyhow!("--slo {}: no scenario {strange}", options.slo);
        return Err(Failure::usage(error));
    }
    let search = find_max::Options {
        slo: options.slo.clone(),
        from: options.from,
        to: options.to,
        step: options.step,
        precision: options.precision,
        max_time: options.max_time,
    };
    let json = open(options.json.as_deref()).map_err(Failure::io)?;
    let mut printed = print(&format!("{}\n", Step::head()));
    let progress = StepProgress::new(options.sending.quiet);
    let answer = runtime()?.block_on(find_max::find(
        &plan,
        &search,
        |step| {
            progress.end();
            if printed.is_ok() {
                printed = print(&format!("{}\n", step.line()));
            }
        },
        |rate, snapshot| progress.show(rate, snapshot),
    ))?;
    progress.end();
    write_json(json, &answer)?;
    printed?;
    print(&format!("{}\n", answer.sentence()))?;
    Ok(match (answer.limit, answer.rate) {
        (Limit::Tool, _) => Verdict::TooSlow,
        (_, Some(_)) => Verdict::Good,
        (_, None) => Verdict::Failed,
    })
}

/// `loadgen live-test`.
pub(crate) fn live_test(options: &LiveTest) -> Result<Verdict, Failure> {
    let (specs, note) = services(options).map_err(Failure::usage)?;
    let load = match options.share {
        None => "closed loop".to_owned(),
        Some(share) => format!("open loop at {:.1} % of the original rates", share * 100.0),
    };
    let duration_s = options.duration.as_secs_f64();
    let json = open(options.json.as_deref()).map_err(Failure::io)?;
    let mut board = Scoreboard::new(load, options.connections, duration_s);
    board.notes.extend(note);
    let mut tests: Vec<(&str, Vec<Spec>)> = Vec::new();
    tests.extend(specs.iter().map(|spec| ("alone", vec![spec.clone()])));
    if specs.len() > 1 {
        tests.push(("mixed", specs));
    }
    let runtime = runtime()?;
    let mut signals = Signals::default();
    let mut is_valid = true;
    if let Some((_, specs)) = tests.last() {
        let settings = live_settings(options, specs.clone()).map_err(Failure::usage)?;
        board.targets = runtime.block_on(versions(&settings, &options.admins));
    }
    for (test, specs) in tests {
        let settings = live_settings(options, specs).map_err(Failure::usage)?;
        let plan = settings.plan().map_err(Failure::usage)?;
        let labels: Vec<&str> = plan.scenarios.iter().map(|s| s.label.as_str()).collect();
        let title = format!("{test}: {}", labels.join(", "));
        let mut progress = Progress::new(&plan, &title, options.quiet);
        let show = |snapshot: &Snapshot| progress.show(snapshot);
        let outcome = runtime.block_on(run::run(&plan, &mut signals, show))?;
        progress.end();
        let report = Report::new(&plan, &outcome, &[]);
        is_valid &= report.valid;
        board.add(test, &report);
        if outcome.stopped {
            board
                .notes
                .push("stopped before all tests were done".to_owned());
            break;
        }
    }
    write_json(json, &board)?;
    print(&board.text())?;
    Ok(if !is_valid {
        Verdict::TooSlow
    } else if board.failed() {
        Verdict::Failed
    } else {
        Verdict::Good
    })
}

/// The services that can be tested, and why one is left out.
fn services(options: &LiveTest) -> anyhow::Result<(Vec<Spec>, Option<String>)> {
    let spec = |kind, target: &Option<Target>| {
        let mut spec = Spec::new(kind);
        spec.target = target.clone().or_else(|| options.place.target.clone());
        spec
    };
    let mut specs = vec![
        spec(Kind::Qrcode, &options.qrcode),
        spec(Kind::Blockchain, &options.blockchain),
    ];
    let mut twitter = spec(Kind::Twitter, &options.twitter);
    twitter.rows.clone_from(&options.rows);
    twitter.users.clone_from(&options.users);
    twitter.corpus.clone_from(&options.twitter_corpus);
    let mut note = None;
    if twitter.rows.is_some() || twitter.users.is_some() || twitter.corpus.is_some() {
        specs.push(twitter);
    } else {
        let text = "twitter is left out: --rows FILE, --users FILE or --twitter-corpus FILE says whom to ask about";
        note = Some(text.to_owned());
    }
    // With a target for some services only, those are tested.
    specs.retain(|spec| spec.target.is_some());
    if specs.is_empty() {
        bail!("no target; say --target, or --qrcode, --blockchain and --twitter");
    }
    Ok((specs, note))
}

fn live_settings(options: &LiveTest, mut specs: Vec<Spec>) -> anyhow::Result<Settings> {
    let mut settings = Settings {
        allow_remote: options.place.allow_remote,
        duration: Some(options.duration),
        connections: options.connections,
        threads: options.threads,
        seed: options.seed,
        pace: Pace::Closed,
        ..Settings::default()
    };
    let services = specs.iter().map(|spec| spec.kind.name().parse());
    let services = services.collect::<Result<Vec<_>, _>>();
    let services = services.map_err(anyhow::Error::msg)?;
    for (spec, service) in specs.iter_mut().zip(&services) {
        spec.weight = original(*service).weight;
    }
    if let Some(share) = options.share {
        let rate = Rate::new(live_test::original_rate(&services) * share);
        let rate = rate.context("--share leaves nothing to send")?;
        settings.pace = Pace::Rate(rate);
    }
    settings.scenarios = specs;
    Ok(settings)
}

/// What is run in a few words.
fn title(plan: &Plan) -> String {
    let labels = plan
        .scenarios
        .iter()
        .map(|scenario| scenario.label.as_str());
    let labels: Vec<&str> = labels.collect();
    let mut urls: Vec<&str> = plan.scenarios.iter().map(|s| s.url.as_str()).collect();
    urls.dedup();
    format!("{} to {}", labels.join(", "), urls.join(", "))
}

/// How a run goes, on standard error: a screen on a terminal, a line a second elsewhere.
struct Progress {
    live: Live,
    screen: Option<Screen>,
    is_quiet: bool,
}

impl Progress {
    fn new(plan: &Arc<Plan>, title: &str, is_quiet: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let takes_screen = !is_quiet && !is_dumb && io::stderr().is_terminal();
        Self {
            live: Live::new(plan, title.to_owned()),
            // A terminal that refuses gets lines instead.
            screen: takes_screen
                .then(|| Screen::new(has_colours).ok())
                .flatten(),
            is_quiet,
        }
    }

    fn show(&mut self, snapshot: &Snapshot) {
        if self.is_quiet {
            return;
        }
        self.live.add(snapshot);
        if let Some(screen) = &mut self.screen {
            if screen.draw(&self.live).is_err() {
                self.screen = None;
            }
        } else if let Some(line) = self.live.next_line() {
            // A run goes on when nobody reads its progress.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    /// Gives the terminal back before the report is written.
    fn end(&mut self) {
        self.screen = None;
    }
}

/// How a step of a search goes, on standard error: one line that is written anew on a terminal, a line
/// a second elsewhere.
struct StepProgress {
    is_quiet: bool,
    is_terminal: bool,
}

impl StepProgress {
    fn new(is_quiet: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            is_quiet,
            is_terminal: !is_dumb && io::stderr().is_terminal(),
        }
    }

    fn show(&self, rate: f64, snapshot: &Snapshot) {
        // Two snapshots come a second.
        if self.is_quiet || !self.is_terminal && snapshot.elapsed.subsec_millis() >= 500 {
            return;
        }
        let (before, after) = if self.is_terminal {
            ("\r", "\x1b[K")
        } else {
            ("", "\n")
        };
        // A search goes on when nobody reads its progress.
        let _ = write!(
            io::stderr(),
            "{before}{rate:>10.1}/s: {} s, {} requests, {} errors{after}",
            snapshot.elapsed.as_secs(),
            snapshot.done,
            snapshot.errors
        );
    }

    /// Clears the line for the step's own.
    fn end(&self) {
        if !self.is_quiet && self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
