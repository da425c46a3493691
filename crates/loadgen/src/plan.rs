//! What a run means: scenarios and their weights, load, limits.

pub mod file;
pub mod settings;
pub mod spec;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::check::TeamLine;
use crate::corpus::Item;
use crate::random::Random;
use crate::schedule::Schedule;

pub use settings::Settings;
pub use spec::Spec;

/// How requests are spread over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// Each connection sends as soon as its last reply is there.
    Closed {
        /// When to stop sending.
        duration: Duration,
        /// How many to send at most.
        requests: Option<u64>,
    },
    /// Requests are sent when they are due, whatever the target does.
    Open(Schedule),
}

/// Which replies are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every one.
    All,
    /// Every one while that takes less than a fifth of a thread's time, and as many as fit in that
    /// otherwise.
    Auto,
    /// One of so many, drawn at random.
    Sample(u64),
    /// None, except for their status.
    None,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Auto => f.write_str("auto"),
            Self::Sample(of) => write!(f, "sample:{of}"),
            Self::None => f.write_str("none"),
        }
    }
}

impl std::str::FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => match text.strip_prefix("sample:").map(str::parse) {
                Some(Ok(of)) if of > 0 => Ok(Self::Sample(of)),
                _ => Err("auto, all, none or sample:N with N from 1"),
            },
        }
    }
}

/// One of several instances of the tool that send a load together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 0.
    pub index: u64,
    /// How many there are, from 1.
    pub of: u64,
}

impl Shard {
    /// The whole load.
    pub const WHOLE: Self = Self { index: 0, of: 1 };
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl std::str::FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a shard is K/N: number K, from 0, of N, which are up to 1000";
        let (index, of) = text.split_once('/').ok_or(wrong)?;
        let index = index.parse().map_err(|_| wrong)?;
        let of = of.parse().map_err(|_| wrong)?;
        if index < of && of <= 1000 {
            Ok(Self { index, of })
        } else {
            Err(wrong)
        }
    }
}

/// Requests of one kind.
#[derive(Debug)]
pub struct Scenario {
    /// Its name in reports.
    pub label: String,
    /// Its share of all requests, against the sum of all weights.
    pub weight: u64,
    /// Where it goes, as the user wrote it.
    pub url: String,
    /// Which of the plan's addresses it goes to.
    pub address: usize,
    /// What is asked, with the whole request as it is sent; never empty.
    pub items: Vec<Prepared>,
    /// What replies begin with.
    pub team: TeamLine,
}

/// A request as bytes.
#[derive(Debug)]
pub struct Prepared {
    /// Head of the request.
    pub request: Vec<u8>,
    /// What it means.
    pub item: Item,
}

impl Prepared {
    /// Writes the head; `fields` are more lines of it, each with its line end.
    pub fn new(item: Item, authority: &str, fields: &str) -> Self {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n",
            item.target
        );
        Self {
            request: request.into_bytes(),
            item,
        }
    }
}

/// Everything that a run needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// At least one.
    pub scenarios: Arc<[Scenario]>,
    /// The different addresses of the scenarios.
    pub addresses: Vec<SocketAddr>,
    /// How requests are spread over time.
    pub load: Load,
    /// Connections to each address, over all threads.
    pub connections: usize,
    /// Threads of the tool.
    pub threads: usize,
    /// For connects and for exchanges.
    pub timeout: Duration,
    /// Which replies are checked.
    pub check: Share,
    /// For the order of scenarios.
    pub seed: u64,
    /// Which part of the load is sent from here.
    pub shard: Shard,
    /// Sends that begin later than this after they are due are late.
    pub tolerance: Duration,
    /// Share of sends that may be late because of the tool.
    pub max_late: f64,
    /// Whether threads look for what is due without ever sleeping.
    pub spin: bool,
}

impl Plan {
    /// A scenario, drawn by weight.
    pub fn draw(&self, random: &mut Random) -> usize {
        if self.scenarios.len() == 1 {
            return 0;
        }
        let mut drawn = random.below(self.weights());
        for (place, scenario) in self.scenarios.iter().enumerate() {
            match drawn.checked_sub(scenario.weight) {
                Some(rest) => drawn = rest,
                None => return place,
            }
        }
        0
    }

    /// The same with another load.
    #[must_use]
    pub fn with_load(&self, load: Load) -> Self {
        Self {
            load,
            ..self.clone()
        }
    }

    /// The sum of all weights.
    pub fn weights(&self) -> u64 {
        self.scenarios.iter().map(|scenario| scenario.weight).sum()
    }
}
