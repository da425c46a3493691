//! What one processor does: the newest figures of the project's own measurement.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, anyhow, bail};
use serde::Deserialize;

use crate::{Load, Service};

/// The file that `cargo xtask bench` writes.
const BUILT_IN: &str = include_str!("../../../benches/rates.toml");

/// What a vCPU of a node is taken to do of what a core of the measured machine does: an assumption,
/// on the careful side, until the services are measured on a node.
pub const NODE_SHARE: f64 = 0.5;

/// What one core of a machine does of each service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// The date.
    pub as_of: String,
    /// The machine.
    pub host: String,
    /// Requests a second of one core, by service.
    #[serde(default)]
    pub per_core: BTreeMap<String, f64>,
    /// Bytes of a request and its reply, heads included, by service.
    #[serde(default)]
    pub bytes: BTreeMap<String, f64>,
}

impl Rates {
    /// The newest figures when this was built.
    ///
    /// # Errors
    ///
    /// Never in practice: a test reads the file.
    pub fn built_in() -> Result<Self> {
        Self::parse(BUILT_IN)
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    ///
    /// When a key is missing or unknown, or a figure is not a number above 0.
    pub fn parse(text: &str) -> Result<Self> {
        let rates: Self = toml::from_str(text).map_err(|error| anyhow!("{error}"))?;
        for (name, figure) in rates.per_core.iter().chain(&rates.bytes) {
            if name.parse::<Service>().is_err() || !figure.is_finite() || *figure <= 0.0 {
                bail!("{name} = {figure} is no figure of a service");
            }
        }
        Ok(rates)
    }

    /// The text of such a file.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# What one core does of each service, and bytes of a request and its reply. Written by `cargo xtask bench`\n\
             # from the newest file in benches/results; `loadgen plan` is built with it.\n\n",
        );
        // Writing to a string cannot fail.
        let _ = writeln!(text, "as_of = {:?}\nhost = {:?}", self.as_of, self.host);
        let tables = [("per_core", &self.per_core), ("bytes", &self.bytes)];
        for (name, table) in tables {
            let _ = writeln!(text, "\n[{name}]");
            for (service, figure) in table {
                let _ = writeln!(text, "{service} = {figure:.0}.0");
            }
        }
        text
    }

    /// What one vCPU of a node does of each service.
    pub fn per_vcpu(&self) -> Vec<Load> {
        let known = Service::ALL.into_iter().filter_map(|service| {
            let rate = self.per_core.get(service.name())?;
            Some(Load {
                service,
                rate: rate * NODE_SHARE,
            })
        });
        known.collect()
    }

    /// Where the figures of [`Self::per_vcpu`] come from.
    pub fn source(&self) -> String {
        format!(
            "{:.0} % of a core of {}, measured {}",
            NODE_SHARE * 100.0,
            self.host,
            self.as_of
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Rates;

    #[test]
    fn the_built_in_figures_are_legal_and_of_all_services() {
        let rates = Rates::built_in().unwrap();
        assert_eq!(rates.per_vcpu().len(), 3);
        assert!(!rates.as_of.is_empty() && rates.source().contains(&rates.host));
    }

    #[test]
    fn a_written_file_reads_back() {
        let rates = Rates {
            as_of: "2026-01-31".to_owned(),
            host: "a \"quoted\" processor".to_owned(),
            per_core: [("qrcode".to_owned(), 50_000.0)].into(),
            bytes: [("twitter".to_owned(), 900.0)].into(),
        };
        assert_eq!(Rates::parse(&rates.text()).unwrap(), rates);
    }

    #[test]
    fn figures_of_nothing_are_refused() {
        for wrong in [
            "[per_core]\nother = 1.0",
            "[per_core]\nqrcode = 0.0",
            "[bytes]\nqrcode = nan",
            "[speed]\nqrcode = 1.0",
        ] {
            let text = format!("as_of = \"a\"\nhost = \"b\"\n{wrong}\n");
            assert!(Rates::parse(&text).is_err(), "{wrong}");
        }
    }
}
