//! Progress for people: bars on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use etl::failure::complain;
use etl::steps::progress::{Progress, Step};
use indicatif::{ProgressBar, ProgressStyle};

/// Pause between two lines where there is no terminal.
const LINE_PAUSE: Duration = Duration::from_secs(10);

/// Shows how far reading and loading are.
pub(crate) struct Shown {
    bar: ProgressBar,
    state: Mutex<State>,
}

struct State {
    what: &'static str,
    done: u64,
    total: u64,
    lines: u64,
    begun: Instant,
    said: Instant,
}

impl State {
    /// How far, how fast, and how long still at this rate.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn line(&self) -> String {
        let (done, total) = (self.done as f64, self.total.max(1) as f64);
        let seconds = self.begun.elapsed().as_secs_f64();
        let left = seconds * (total - done).max(0.0) / done.max(1.0);
        let percent = 100.0 * done / total;
        let what = self.what;
        if self.lines > 0 {
            let rate = self.lines as f64 / seconds;
            let rates = format!("{:.1} MB/s, {rate:.0} lines/s", done / 1e6 / seconds);
            return format!("{what} {percent:.0} %, {rates}, {left:.0} s left");
        }
        let rate = done / seconds;
        format!("{what} {percent:.0} %, {rate:.0}/s, {left:.0} s left")
    }
}

impl Shown {
    pub(crate) fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        let state = State {
            what: "",
            done: 0,
            total: 0,
            lines: 0,
            begun: Instant::now(),
            said: Instant::now(),
        };
        Self {
            bar,
            state: Mutex::new(state),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn begin_step(&self, what: &'static str, total: u64, template: &str) {
        let style = ProgressStyle::with_template(template);
        self.bar
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.reset();
        self.bar.set_length(total);
        self.bar.set_message(what);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State {
            what,
            done: 0,
            total,
            lines: 0,
            begun: Instant::now(),
            said: Instant::now(),
        };
    }

    fn advance_by(&self, done: u64, lines: u64) {
        self.bar.inc(done);
        if !self.bar.is_hidden() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += done;
        state.lines += lines;
        if state.said.elapsed() >= LINE_PAUSE {
            state.said = Instant::now();
            complain(&state.line());
        }
    }
}

impl Progress for Shown {
    fn begin(&self, step: Step, total: u64) {
        const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        const THINGS: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left";
        let (what, template) = match step {
            Step::Clean => ("cleaning", BYTES),
            Step::Score => ("reading facts", THINGS),
            Step::Write => ("writing rows", THINGS),
            Step::Load => ("loading rows", THINGS),
        };
        self.begin_step(what, total, template);
    }

    fn advance(&self, done: u64, lines: u64) {
        self.advance_by(done, lines);
    }
}
