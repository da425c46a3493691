//! The price file: one dated file for the whole project. Keys that are not needed here are left
//! to those who do.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

/// Largest price file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The project's own price file.
const BUILT_IN: &str = include_str!("../../../benches/prices.toml");

/// Prices.
#[derive(Clone, Debug, Deserialize)]
pub struct Prices {
    /// The date.
    pub as_of: String,
    /// Where they hold.
    pub region: String,
    /// In what.
    pub currency: String,
    /// An hour of one of each.
    hourly: BTreeMap<String, f64>,
    /// Shapes.
    nodes: BTreeMap<String, Node>,
    /// What one capacity unit of a load balancer is.
    pub load_balancer_capacity_unit: CapacityUnit,
}

/// The shape of a node.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Node {
    /// Its processors.
    pub vcpus: f64,
    /// Its memory.
    pub memory_gib: f64,
}

/// One capacity unit of a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct CapacityUnit {
    /// Bytes that it stands for.
    pub gb_per_hour: f64,
}

impl Prices {
    /// The project's own prices when this was built.
    ///
    /// # Errors
    ///
    /// Never in practice: a test reads the file.
    pub fn built_in() -> Result<Self> {
        Self::parse(BUILT_IN)
    }

    /// Reads a price file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is too large, or is not one.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let size = std::fs::metadata(path)
            .with_context(|| format!("cannot read the prices, {shown}; say --prices FILE"))?
            .len();
        if size > MAX_FILE_BYTES {
            bail!("{shown} has {size} bytes, and {MAX_FILE_BYTES} are allowed");
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        Self::parse(&text).with_context(|| format!("prices {shown}"))
    }

    /// Reads the text of a price file.
    ///
    /// # Errors
    ///
    /// When a key is missing, or a price or a shape is not a number above 0.
    pub fn parse(text: &str) -> Result<Self> {
        let prices: Self = toml::from_str(text).map_err(|error| anyhow!("{error}"))?;
        let shapes = prices
            .nodes
            .values()
            .flat_map(|node| [node.vcpus, node.memory_gib]);
        let unit = prices.load_balancer_capacity_unit.gb_per_hour;
        let mut all = prices.hourly.values().copied().chain(shapes).chain([unit]);
        if let Some(wrong) = all.find(|number| !number.is_finite() || *number <= 0.0) {
            bail!("{wrong} is neither a price nor a size");
        }
        drop(all);
        Ok(prices)
    }

    /// What an hour of something costs.
    ///
    /// # Errors
    ///
    /// When there is no price for it.
    pub fn hourly(&self, name: &str) -> Result<f64> {
        let price = self.hourly.get(name).copied();
        price.with_context(|| format!("no price of {name} under [hourly]"))
    }

    /// The shape of a node.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn node(&self, name: &str) -> Result<Node> {
        let node = self.nodes.get(name).copied();
        node.with_context(|| {
            let known: Vec<&str> = self.nodes.keys().map(String::as_str).collect();
            format!("no node {name}; there are {}", known.join(", "))
        })
    }
}
