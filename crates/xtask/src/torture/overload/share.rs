//! Leaves a server a part of its processor, so that a load tool on the same machine can ask for several
//! times what it can do.
//!
//! A quota of the kernel's would do it in lumps: it is looked at when a tick comes, so 5 % of a
//! processor are 4 ms of every 80, and whoever is stopped for 76 ms is late however little is asked of
//! it. Instead a process of real-time priority occupies the rest of each five milliseconds.

use std::env;
use std::process::{ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::process::Child;
use tokio::time::sleep;

use crate::child;

/// What is dealt out. Short against any time that a client or a service looks at, long against what it costs to
/// take turns: of a tenth of a millisecond, half is lost with cold caches.
const PERIOD: Duration = Duration::from_millis(5);

/// The kernel leaves others a twentieth of a processor, whatever those of real-time priority want, and
/// takes it in one lump.
const MOST_PERCENT: u32 = 94;

/// It ends by itself then, whatever became of who started it.
const LONGEST: Duration = Duration::from_hours(24);

/// What the hidden command `occupy` takes.
#[derive(Debug, Args)]
pub(crate) struct Occupy {
    /// How much of each five milliseconds
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PERCENT)))]
    percent: u32,
}

/// Keeps a processor busy for a part of each [`PERIOD`], until it is ended.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing else is to run on this thread"
)]
pub(crate) fn occupy(options: &Occupy) -> ExitCode {
    let busy = PERIOD * options.percent / 100;
    let begun = Instant::now();
    let mut due = begun;
    while begun.elapsed() < LONGEST {
        while due.elapsed() < busy {
            std::hint::spin_loop();
        }
        // From one start to the next, so that a late one does not shorten the others' part; one that is
        // very late begins anew.
        due += PERIOD;
        let now = Instant::now();
        if now > due + PERIOD {
            due = now;
        }
        thread::sleep(due.saturating_duration_since(now));
    }
    ExitCode::SUCCESS
}

/// What is left of a processor while this lives.
#[derive(Debug)]
pub(super) struct Share {
    _occupant: Child,
}

impl Share {
    /// Leaves those on a processor so many percent of it.
    pub(super) async fn leave(core: &str, percent: u32) -> Result<Self> {
        let chrt = child::find_program("chrt").context("chrt is not installed (util-linux)")?;
        let program = env::current_exe().context("cannot find this program")?;
        let mut command = child::tied_to_us(&chrt, "KILL");
        command.args(["--fifo", "1", "taskset", "-c", core]);
        command.arg(program).arg("occupy");
        command.args(["--percent", &(100 - percent).to_string()]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let mut occupant = command.spawn().context("cannot start chrt")?;
        sleep(Duration::from_millis(300)).await;
        ensure!(
            occupant.try_wait()?.is_none(),
            "cannot leave the server {percent} % of a processor: a process of real-time priority takes root, or \
             `ulimit -r`"
        );
        Ok(Self {
            _occupant: occupant,
        })
    }
}
