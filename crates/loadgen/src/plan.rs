//! What a run means: scenarios and their weights, load, limits.

use std::net::SocketAddr;
use std::time::Duration;

use crate::check::TeamLine;
use crate::corpus::Item;
use crate::random::Random;
use crate::schedule::Schedule;

/// How requests are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// One of so many, drawn at random.
    Sample(u64),
    /// None, except for their status.
    None,
}

impl Share {
    /// Whether the next reply is checked.
    pub fn includes_next(self, random: &mut Random) -> bool {
        match self {
            Self::All => true,
            Self::Sample(of) => random.below(of) == 0,
            Self::None => false,
        }
    }
}

impl std::str::FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            _ => match text.strip_prefix("sample:").map(str::parse) {
                Some(Ok(of)) if of > 0 => Ok(Self::Sample(of)),
                _ => Err("all, none or sample:N with N from 1"),
            },
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
#[derive(Debug)]
pub struct Plan {
    /// At least one.
    pub scenarios: Vec<Scenario>,
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
    /// Sends that begin later than this after they are due are late.
    pub tolerance: Duration,
    /// Share of sends that may be late because of the tool.
    pub max_late: f64,
}

impl Plan {
    /// A scenario, drawn by weight.
    pub fn draw(&self, random: &mut Random) -> usize {
        if self.scenarios.len() == 1 {
            return 0;
        }
        let total = self.scenarios.iter().map(|scenario| scenario.weight).sum();
        let mut drawn = random.below(total);
        for (place, scenario) in self.scenarios.iter().enumerate() {
            match drawn.checked_sub(scenario.weight) {
                Some(rest) => drawn = rest,
                None => return place,
            }
        }
        0
    }
}
