//! One scenario as people describe it: `qrcode,weight=3`, or a table of a plan file.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::corpus::{Expect, Item, Recipe, blockchain, file, qrcode, rows, twitter};
use crate::target::Target;
use crate::units;

/// Largest weight; a sum of many must fit.
const MAX_WEIGHT: u64 = 1_000_000;
/// Most requests that are generated.
const MAX_SIZE: usize = 1_000_000;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chains to extend.
    Blockchain,
    /// Symbols to draw and to read.
    Qrcode,
    /// Users to ask about.
    Twitter,
    /// Recorded requests for any path.
    Corpus,
}

impl Kind {
    /// Its name, which is that of its scenario unless that has one of its own.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blockchain => "blockchain",
            Self::Qrcode => "qrcode",
            Self::Twitter => "twitter",
            Self::Corpus => "corpus",
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Blockchain, Self::Qrcode, Self::Twitter, Self::Corpus];
        let found = all.into_iter().find(|kind| kind.name() == text);
        found.with_context(|| {
            format!("a scenario is blockchain, qrcode, twitter or corpus, not {text:?}")
        })
    }
}

/// A scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What is sent.
    pub kind: Kind,
    /// Its name in reports.
    pub name: Option<String>,
    /// Its share of all requests, against the sum of all weights.
    pub weight: u64,
    /// Where it goes, if not to where all others go.
    pub target: Option<Target>,
    /// Share of requests that are invalid.
    pub invalid: Option<f64>,
    /// Recorded requests.
    pub corpus: Option<PathBuf>,
    /// User ids, one a line.
    pub users: Option<PathBuf>,
    /// Rows of the table, as `etl rows` writes them.
    pub rows: Option<PathBuf>,
    /// Number of requests to generate.
    pub size: Option<usize>,
}

impl Spec {
    /// A scenario with nothing but its kind.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            name: None,
            weight: 1,
            target: None,
            invalid: None,
            corpus: None,
            users: None,
            rows: None,
            size: None,
        }
    }

    /// Whether it can be sent.
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=MAX_WEIGHT).contains(&self.weight) {
            bail!("a weight is a number from 1 to {MAX_WEIGHT}");
        }
        if self
            .size
            .is_some_and(|size| !(1..=MAX_SIZE).contains(&size))
        {
            bail!("a size is a number from 1 to {MAX_SIZE}");
        }
        if let Some(name) = &self.name {
            let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if name.is_empty() || name.len() > 40 || !name.bytes().all(is_legal) {
                bail!("a name has up to 40 letters, digits, - and _");
            }
        }
        if self.kind == Kind::Corpus && self.corpus.is_none() {
            bail!("the scenario corpus needs corpus=FILE");
        }
        let sources = [&self.corpus, &self.users, &self.rows];
        match (
            self.kind,
            sources.iter().filter(|file| file.is_some()).count(),
        ) {
            (Kind::Twitter, 0) => {
                bail!("the scenario twitter needs rows=FILE, corpus=FILE or users=FILE")
            }
            (_, 0 | 1) => {}
            _ => bail!("one of corpus=FILE, users=FILE and rows=FILE"),
        }
        if self.kind != Kind::Twitter && (self.users.is_some() || self.rows.is_some()) {
            bail!("users=FILE and rows=FILE are for the scenario twitter");
        }
        Ok(())
    }

    /// Its requests: read from a file or generated.
    pub(super) fn items(&self, recipe: Recipe) -> Result<Vec<Item>> {
        let recipe = Recipe {
            seed: recipe.seed,
            size: self.size.unwrap_or(recipe.size),
            invalid: self.invalid.unwrap_or(recipe.invalid),
        };
        if let Some(path) = &self.corpus {
            let unrecorded = match self.kind {
                Kind::Twitter => Expect::Contacts,
                _ => Expect::Any,
            };
            return file::read(path, &unrecorded);
        }
        Ok(match (self.kind, &self.users, &self.rows) {
            (Kind::Qrcode, ..) => qrcode::generate(recipe),
            (Kind::Blockchain, ..) => blockchain::generate(recipe),
            (_, Some(users), _) => twitter::generate(recipe, &twitter::read_users(users)?),
            (_, None, Some(rows)) => rows::generate(recipe, rows)?,
            (_, None, None) => bail!("nothing to send"),
        })
    }
}

impl FromStr for Spec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(',');
        let mut spec = Self::new(parts.next().unwrap_or_default().parse()?);
        for part in parts {
            let (name, value) = part
                .split_once('=')
                .with_context(|| format!("{part:?} is not OPTION=VALUE"))?;
            match name {
                "name" => spec.name = Some(value.to_owned()),
                "weight" => spec.weight = value.parse().context("a weight is a number")?,
                "target" => spec.target = Some(value.parse()?),
                "invalid" => spec.invalid = Some(units::share(value).map_err(|e| anyhow!(e))?),
                "corpus" => spec.corpus = Some(value.into()),
                "users" => spec.users = Some(value.into()),
                "rows" => spec.rows = Some(value.into()),
                "size" => spec.size = Some(value.parse().context("a size is a number")?),
                _ => bail!(
                    "no option {name:?}; there are name, weight, target, invalid, corpus, users, \
                     rows and size"
                ),
            }
        }
        spec.check()?;
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::Spec;

    #[test]
    fn scenarios_have_options() {
        let spec: Spec = "qrcode,name=a-b,weight=3,target=http://localhost:81,invalid=5%,size=9"
            .parse()
            .unwrap();
        assert_eq!((spec.weight, spec.size), (3, Some(9)));
        assert_eq!(spec.invalid, Some(0.05));
        assert_eq!(spec.name.as_deref(), Some("a-b"));
        for text in [
            "",
            "other",
            "qrcode,weight",
            "qrcode,weight=0",
            "qrcode,weight=x",
            "qrcode,size=0",
            "qrcode,color=red",
            "qrcode,name=a b",
            "corpus",
            "twitter",
            "twitter,users=a,rows=b",
            "qrcode,rows=a",
            "qrcode,target=localhost",
        ] {
            assert!(text.parse::<Spec>().is_err(), "{text}");
        }
    }
}
