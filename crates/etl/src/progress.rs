//! Progress for people: bars on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use etl::failure::complain;
use etl::pipeline::{Pass, Progress};
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
    said: Instant,
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
            said: Instant::now(),
        };
        Self {
            bar,
            state: Mutex::new(state),
        }
    }

    /// A step of so many users begins.
    pub(crate) fn begin_users(&self, what: &'static str, users: u64) {
        self.begin_step(
            what,
            users,
            "{msg} {wide_bar} {pos}/{len} users, {eta} left",
        );
    }

    /// A step of so many rows begins.
    pub(crate) fn begin_rows(&self, what: &'static str, rows: u64) {
        self.begin_step(
            what,
            rows,
            "{msg} {wide_bar} {pos}/{len} rows {per_sec}, {eta} left",
        );
    }

    /// So many more rows of this step are done.
    pub(crate) fn advance_rows(&self, rows: u64) {
        self.advance_by(rows, rows);
    }

    /// One more user of this step is done.
    pub(crate) fn advance_user(&self) {
        self.advance_by(1, 0);
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
            let percent = state.done * 100 / state.total.max(1);
            complain(&format!(
                "{} {percent} %, {} lines",
                state.what, state.lines
            ));
        }
    }
}

impl Progress for Shown {
    fn begin(&self, pass: Pass, total_bytes: u64) {
        let what = match pass {
            Pass::Build => "reading",
            Pass::Recheck => "checking a sample against the source",
        };
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        self.begin_step(what, total_bytes, template);
    }

    fn advance(&self, bytes: u64, lines: u64) {
        self.advance_by(bytes, lines);
    }
}
