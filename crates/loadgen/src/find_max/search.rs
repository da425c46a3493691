//! Which rate comes next. Pure: who asks runs the steps.

use serde::Serialize;

use super::Limit;

/// Most steps of a search.
const MAX_STEPS: usize = 40;
/// How far below the first rate a search goes down.
const FLOOR: f64 = 0.01;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "result", content = "why", rename_all = "snake_case")]
pub enum Cause {
    /// It met the objective.
    Met,
    /// The target did not.
    Server(String),
    /// The tool fell behind its schedule.
    Tool(String),
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    from: f64,
    to: f64,
    precision: f64,
    /// The highest rate that met the objective.
    best: Option<f64>,
    /// The lowest rate that failed twice, and whether the tool was to blame.
    worst: Option<(f64, bool)>,
    /// A rate that failed once: what a neighbour did to it must not end the search.
    doubtful: Option<f64>,
    steps: usize,
}

impl Search {
    /// A search that begins with `from` and never passes `to`, until the answer is within the
    /// share `precision` of a rate that fails.
    pub fn new(from: f64, to: f64, precision: f64) -> Self {
        Self {
            from: from.min(to),
            to,
            precision: precision.max(0.001),
            best: None,
            worst: None,
            doubtful: None,
            steps: 0,
        }
    }

    /// The next rate to try; nothing when the search is over.
    pub fn next_rate(&self) -> Option<f64> {
        if self.steps >= MAX_STEPS {
            return None;
        }
        if self.doubtful.is_some() {
            return self.doubtful;
        }
        match (self.best, self.worst) {
            (None, None) => Some(self.from),
            (Some(best), None) => (best < self.to).then(|| round(best * 2.0).min(self.to)),
            (None, Some((worst, _))) => {
                let next = round(worst / 4.0);
                (next >= self.from * FLOOR && next > 0.0 && next < worst).then_some(next)
            }
            (Some(best), Some((worst, _))) => {
                let next = round(f64::midpoint(best, worst));
                let is_near = worst <= best * (1.0 + self.precision);
                (!is_near && next > best && next < worst).then_some(next)
            }
        }
    }

    /// How the step at the rate asked for ended.
    pub fn tell(&mut self, rate: f64, cause: &Cause) {
        self.steps += 1;
        if *cause == Cause::Met {
            self.doubtful = None;
            self.best = Some(self.best.map_or(rate, |best| best.max(rate)));
        } else if self.doubtful == Some(rate) {
            self.doubtful = None;
            self.worst = Some((rate, matches!(cause, Cause::Tool(_))));
        } else {
            self.doubtful = Some(rate);
        }
    }

    /// The highest rate that met the objective so far.
    pub const fn best(&self) -> Option<f64> {
        self.best
    }

    /// Why there is no higher one.
    pub fn limit(&self) -> Limit {
        match (self.worst, self.best) {
            _ if self.steps >= MAX_STEPS => Limit::Time,
            (Some((_, true)), _) => Limit::Tool,
            (Some((_, false)), _) => Limit::Server,
            (None, Some(best)) if best >= self.to => Limit::HighestRate,
            (None, _) => Limit::Time,
        }
    }
}

/// Whole numbers where they are exact enough, and thousandths below.
fn round(rate: f64) -> f64 {
    if rate >= 100.0 {
        rate.round()
    } else {
        (rate * 1000.0).round() / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Limit, Search};

    /// Searches a target that meets the objective up to `knee`, with a tool that sends up to
    /// `tool`; the rates tried.
    fn run(search: &mut Search, knee: f64, tool: f64) -> Vec<f64> {
        let mut rates = Vec::new();
        while let Some(rate) = search.next_rate() {
            rates.push(rate);
            let cause = if rate > tool {
                Cause::Tool(String::new())
            } else if rate > knee {
                Cause::Server(String::new())
            } else {
                Cause::Met
            };
            search.tell(rate, &cause);
            assert!(rates.len() < 100, "endless: {rates:?}");
        }
        rates
    }

    #[test]
    fn finds_any_knee_within_the_precision() {
        for knee in [0.9, 3.0, 99.0, 100.0, 101.0, 640.0, 12_345.0, 800_000.0] {
            let mut search = Search::new(50.0, 1e6, 0.05);
            let rates = run(&mut search, knee, f64::INFINITY);
            let best = search.best().unwrap();
            assert!(best <= knee && knee <= best * 1.05, "{knee}: {rates:?}");
            assert_eq!(search.limit(), Limit::Server);
        }
    }

    #[test]
    fn tells_the_tools_limit_from_the_servers() {
        let mut search = Search::new(100.0, 1e6, 0.05);
        run(&mut search, 50_000.0, 5_000.0);
        assert_eq!(search.limit(), Limit::Tool);
        assert!(search.best().unwrap() <= 5_000.0);
    }

    #[test]
    fn ends_at_the_highest_rate_and_at_the_lowest() {
        let mut search = Search::new(100.0, 1000.0, 0.05);
        assert_eq!(
            run(&mut search, 1e9, 1e9),
            [100.0, 200.0, 400.0, 800.0, 1000.0]
        );
        assert_eq!(
            (search.best(), search.limit()),
            (Some(1000.0), Limit::HighestRate)
        );
        let mut search = Search::new(100.0, 1000.0, 0.05);
        run(&mut search, 0.0, 1e9);
        assert_eq!((search.best(), search.limit()), (None, Limit::Server));
    }

    #[test]
    fn a_failure_counts_when_it_happens_again() {
        let mut search = Search::new(100.0, 800.0, 0.05);
        search.tell(100.0, &Cause::Met);
        search.tell(200.0, &Cause::Server(String::new()));
        assert_eq!(search.next_rate(), Some(200.0));
        search.tell(200.0, &Cause::Met);
        assert_eq!(search.next_rate(), Some(400.0));
    }
}
