//! From what the user typed to the plan.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use loadgen::check::TeamLine;
use loadgen::corpus::{Expect, Item, Recipe, blockchain, file, qrcode, twitter};
use loadgen::plan::{Load, Plan, Prepared, Scenario};
use loadgen::schedule::Schedule;
use loadgen::target::Target;

use crate::args::{self, Run};

/// Largest weight; a sum of many must fit.
const MAX_WEIGHT: u64 = 1_000_000;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Blockchain,
    Qrcode,
    Twitter,
    Corpus,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Blockchain => "blockchain",
            Self::Qrcode => "qrcode",
            Self::Twitter => "twitter",
            Self::Corpus => "corpus",
        }
    }
}

/// One `--scenario`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    kind: Kind,
    weight: u64,
    target: Option<Target>,
    invalid: Option<f64>,
    corpus: Option<PathBuf>,
    users: Option<PathBuf>,
    size: Option<usize>,
}

impl Spec {
    const fn new(kind: Kind) -> Self {
        Self {
            kind,
            weight: 1,
            target: None,
            invalid: None,
            corpus: None,
            users: None,
            size: None,
        }
    }
}

impl FromStr for Spec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(',');
        let kind = match parts.next() {
            Some("blockchain") => Kind::Blockchain,
            Some("qrcode") => Kind::Qrcode,
            Some("twitter") => Kind::Twitter,
            Some("corpus") => Kind::Corpus,
            _ => bail!("a scenario is blockchain, qrcode, twitter or corpus"),
        };
        let mut spec = Self::new(kind);
        for part in parts {
            let (name, value) = part
                .split_once('=')
                .with_context(|| format!("{part:?} is not OPTION=VALUE"))?;
            match name {
                "weight" => spec.weight = value.parse().context("a weight is a number")?,
                "target" => spec.target = Some(value.parse()?),
                "invalid" => spec.invalid = Some(args::share(value).map_err(|e| anyhow!(e))?),
                "corpus" => spec.corpus = Some(value.into()),
                "users" => spec.users = Some(value.into()),
                "size" => spec.size = Some(value.parse().context("a size is a number")?),
                _ => bail!(
                    "no option {name:?}; there are weight, target, invalid, corpus, users and size"
                ),
            }
        }
        if !(1..=MAX_WEIGHT).contains(&spec.weight) {
            bail!("a weight is a number from 1 to {MAX_WEIGHT}");
        }
        if spec
            .size
            .is_some_and(|size| !(1..=1_000_000).contains(&size))
        {
            bail!("a size is a number from 1 to 1000000");
        }
        if kind == Kind::Corpus && spec.corpus.is_none() {
            bail!("the scenario corpus needs corpus=FILE");
        }
        if kind == Kind::Twitter && spec.corpus.is_none() && spec.users.is_none() {
            bail!("the scenario twitter needs corpus=FILE or users=FILE");
        }
        Ok(spec)
    }
}

/// Makes the plan of a run.
///
/// # Errors
///
/// When it makes no sense or a file cannot be read.
pub(crate) fn plan(run: &Run) -> Result<Arc<Plan>> {
    let mut specs = run.scenarios.clone();
    if let Some(file) = &run.corpus {
        let mut spec = Spec::new(Kind::Corpus);
        spec.corpus = Some(file.clone());
        specs.push(spec);
    }
    if specs.is_empty() {
        bail!("nothing to send; say --scenario or --corpus");
    }
    let mut fields = String::new();
    for field in &run.headers {
        fields.push_str(field);
        fields.push_str("\r\n");
    }
    let mut addresses = Vec::new();
    let mut scenarios: Vec<Scenario> = Vec::new();
    for spec in specs {
        let target = spec.target.as_ref().or(run.place.target.as_ref());
        let target = target.context("no target; say --target, or target= in each scenario")?;
        let address = target.resolve(run.place.allow_remote)?;
        let known = addresses.iter().position(|known| *known == address);
        let place = known.unwrap_or_else(|| {
            addresses.push(address);
            addresses.len() - 1
        });
        let name = spec.kind.name();
        let number = scenarios
            .iter()
            .filter(|other| other.label.starts_with(name))
            .count();
        let label = match number {
            0 => name.to_owned(),
            _ => format!("{name}-{}", number + 1),
        };
        let items = items(&spec, run)?;
        let prepare = |item| Prepared::new(item, &target.authority, &fields);
        scenarios.push(Scenario {
            label,
            weight: spec.weight,
            url: target.to_string(),
            address: place,
            items: items.into_iter().map(prepare).collect(),
            team: TeamLine::new(run.team_line.as_deref()),
        });
    }
    for threshold in &run.fail_if {
        if let Some(label) = threshold.label()
            && !scenarios.iter().any(|scenario| scenario.label == label)
        {
            bail!("--fail-if {threshold}: no scenario {label}");
        }
    }
    Ok(Arc::new(Plan {
        scenarios,
        addresses,
        load: match run.rate {
            Some(rate) => Load::Open(Schedule::new(rate, run.duration, run.requests)),
            None => Load::Closed {
                duration: run.duration,
                requests: run.requests,
            },
        },
        connections: usize::from(run.connections),
        // A thread without a connection would only wait.
        threads: usize::from(run.threads.min(run.connections)),
        timeout: run.timeout,
        check: run.check,
        seed: run.seed,
        tolerance: run.late_after,
        max_late: run.max_late,
    }))
}

fn items(spec: &Spec, run: &Run) -> Result<Vec<Item>> {
    let recipe = Recipe {
        seed: run.seed,
        size: spec.size.unwrap_or(usize::try_from(run.size)?),
        invalid: spec.invalid.unwrap_or(run.invalid),
    };
    if let Some(path) = &spec.corpus {
        let unrecorded = match spec.kind {
            Kind::Twitter => Expect::Contacts,
            _ => Expect::Any,
        };
        return file::read(path, &unrecorded);
    }
    Ok(match (spec.kind, &spec.users) {
        (Kind::Qrcode, _) => qrcode::generate(recipe),
        (Kind::Blockchain, _) => blockchain::generate(recipe),
        (_, Some(users)) => twitter::generate(recipe, &twitter::read_users(users)?),
        (_, None) => bail!("nothing to send"),
    })
}

#[cfg(test)]
mod tests {
    use super::Spec;

    #[test]
    fn scenarios_have_options() {
        let spec: Spec = "qrcode,weight=3,target=http://localhost:81,invalid=5%,size=9"
            .parse()
            .unwrap();
        assert_eq!((spec.weight, spec.size), (3, Some(9)));
        assert_eq!(spec.invalid, Some(0.05));
        for text in [
            "",
            "other",
            "qrcode,weight",
            "qrcode,weight=0",
            "qrcode,weight=x",
            "qrcode,size=0",
            "qrcode,color=red",
            "corpus",
            "twitter",
            "qrcode,target=localhost",
        ] {
            assert!(text.parse::<Spec>().is_err(), "{text}");
        }
    }
}
