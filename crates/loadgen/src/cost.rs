//! What a load costs: from requests a second that one vCPU does to nodes, pods and dollars an hour.
//!
//! A service needs `load / (rate of a vCPU * utilisation)` vCPUs, in pods of up to one vCPU and two
//! at least; nodes hold what is left of their vCPUs beside the system's own share. Every price comes
//! from the price file.

pub mod prices;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::smoke::Service;
use prices::Prices;

/// Pods of a service at least, so that one may fail.
const MIN_PODS: u64 = 2;
/// Bytes of a gigabyte, and seconds of an hour.
const GIGA: f64 = 1e9;
const HOUR_S: f64 = 3600.0;

/// Requests a second of a service, as `qrcode=1000`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// The service.
    pub service: Service,
    /// Requests a second.
    pub rate: f64,
}

impl FromStr for Load {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "SERVICE=RATE: blockchain, qrcode or twitter, and a number above 0";
        let (service, rate) = text.split_once('=').ok_or(wrong)?;
        let service = service.parse().map_err(|_| wrong)?;
        let rate: f64 = rate.parse().map_err(|_| wrong)?;
        if rate.is_finite() && rate > 0.0 {
            Ok(Self { service, rate })
        } else {
            Err(wrong)
        }
    }
}

/// What a plan is made of.
#[derive(Clone, Debug)]
pub struct Request {
    /// Dollars an hour.
    pub budget: f64,
    /// What one vCPU does.
    pub per_vcpu: Vec<Load>,
    /// Bytes of a request and its reply, where that was measured.
    pub bytes: BTreeMap<&'static str, f64>,
    /// What is wanted.
    pub loads: Vec<Load>,
    /// What nodes are.
    pub node: String,
    /// The database, if any.
    pub database: Option<String>,
    /// How busy a vCPU may be.
    pub utilisation: f64,
    /// vCPUs of each node for the system.
    pub reserved_vcpus: f64,
    /// Nodes at least.
    pub min_nodes: u64,
}

/// What a load needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Need {
    /// A service alone, or all at once.
    pub test: String,
    /// Requests a second.
    pub rate: f64,
    /// vCPUs of the services.
    pub vcpus: f64,
    /// Pods of up to one vCPU.
    pub pods: u64,
    /// Nodes.
    pub nodes: u64,
    /// Dollars an hour: nodes, control plane, database and load balancer.
    pub dollars_per_hour: f64,
    /// Dollars an hour on top while the load lasts: capacity units of the load balancer; nothing
    /// where bytes were not measured.
    pub traffic_per_hour: Option<f64>,
    /// Whether it stays within the budget.
    pub is_within: bool,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostPlan {
    /// Dollars an hour that may be spent.
    pub budget: f64,
    /// The date and place of the prices.
    pub prices: String,
    /// What stands whatever the load is, by name, in dollars an hour.
    pub fixed: Vec<(String, f64)>,
    /// A node, in dollars an hour.
    pub node_per_hour: f64,
    /// Its name.
    pub node: String,
    /// What each load needs.
    pub needs: Vec<Need>,
    /// Nodes that the budget pays for.
    pub affordable_nodes: u64,
    /// What those do of each service alone, in requests a second.
    pub affordable: Vec<(String, f64)>,
}

/// Makes a plan.
///
/// # Errors
///
/// When a price or a measurement is missing.
pub fn plan(request: &Request, prices: &Prices) -> Result<CostPlan> {
    if request.loads.is_empty() {
        bail!("no load that was measured; say --per-vcpu SERVICE=RATE or --measured FILE");
    }
    let shape = prices.node(&request.node)?;
    let usable = shape.vcpus - request.reserved_vcpus;
    if usable <= 0.0 {
        bail!(
            "a {} has {} vCPUs, all of them reserved",
            request.node,
            shape.vcpus
        );
    }
    let node_per_hour = prices.hourly(&request.node)?;
    let mut fixed = vec![
        (
            "control plane".to_owned(),
            prices.hourly("eks_control_plane")?,
        ),
        ("load balancer".to_owned(), prices.hourly("load_balancer")?),
    ];
    if let Some(database) = &request.database {
        fixed.push((format!("database {database}"), prices.hourly(database)?));
    }
    let standing: f64 = fixed.iter().map(|(_, dollars)| dollars).sum();
    let need = |test: &str, loads: &[Load]| -> Result<Need> {
        let (mut vcpus, mut pods, mut rate) = (0.0, 0, 0.0);
        let mut bytes_per_s = Some(0.0);
        for load in loads {
            let needed = load.rate / (per_vcpu(request, load.service)? * request.utilisation);
            vcpus += needed;
            pods += whole(needed).max(MIN_PODS);
            rate += load.rate;
            let bytes = request.bytes.get(load.service.name());
            bytes_per_s = bytes_per_s
                .zip(bytes)
                .map(|(sum, bytes)| sum + bytes * load.rate);
        }
        let nodes = whole(vcpus / usable).max(request.min_nodes);
        let dollars_per_hour = standing + as_f64(nodes) * node_per_hour;
        let unit = prices.hourly("load_balancer_capacity_unit")?;
        Ok(Need {
            test: test.to_owned(),
            rate,
            vcpus,
            pods,
            nodes,
            dollars_per_hour,
            traffic_per_hour: bytes_per_s.map(|bytes| {
                bytes * HOUR_S / GIGA / prices.load_balancer_capacity_unit.gb_per_hour * unit
            }),
            is_within: dollars_per_hour <= request.budget,
        })
    };
    let mut needs = Vec::new();
    for load in &request.loads {
        needs.push(need(&format!("{} alone", load.service.name()), &[*load])?);
    }
    if request.loads.len() > 1 {
        needs.push(need("all at once", &request.loads)?);
    }
    let left = (request.budget - standing).max(0.0);
    // A budget that is met to the cent must not fail by a digit of the sum.
    let affordable_nodes = floor(left / node_per_hour + 1e-9);
    let mut affordable = Vec::new();
    for load in &request.loads {
        let rate = per_vcpu(request, load.service)? * request.utilisation;
        let rate = rate * usable * as_f64(affordable_nodes);
        affordable.push((load.service.name().to_owned(), rate));
    }
    Ok(CostPlan {
        budget: request.budget,
        prices: format!("{}, {}, {}", prices.as_of, prices.region, prices.currency),
        fixed,
        node_per_hour,
        node: request.node.clone(),
        needs,
        affordable_nodes,
        affordable,
    })
}

fn per_vcpu(request: &Request, service: Service) -> Result<f64> {
    let mut found = request.per_vcpu.iter();
    let found = found.find(|load| load.service == service);
    let name = service.name();
    Ok(found
        .with_context(|| {
            format!("what one vCPU does of /{name} is not known: say --per-vcpu {name}=RATE")
        })?
        .rate)
}

/// The next whole number, of numbers that are small.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts saturate, and nobody has so many nodes"
)]
fn whole(number: f64) -> u64 {
    // Sums of shares may be a digit above a whole number.
    (number - 1e-9).ceil() as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts saturate, and nobody has so many nodes"
)]
fn floor(number: f64) -> u64 {
    number.floor() as u64
}

fn as_f64(number: u64) -> f64 {
    crate::report::count(number)
}

impl CostPlan {
    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "Prices: {}. Dollars an hour:", self.prices);
        for (name, dollars) in &self.fixed {
            let _ = writeln!(out, "  {name:<28} {dollars:>8.4}");
        }
        let _ = writeln!(
            out,
            "  {:<28} {:>8.4}",
            format!("node {}", self.node),
            self.node_per_hour
        );
        let _ = writeln!(
            out,
            "\n{:<17} {:>12} {:>8} {:>6} {:>6} {:>10} {:>14}  Budget {}",
            "Load", "Requests", "vCPUs", "Pods", "Nodes", "$/hour", "traffic $/hour", self.budget
        );
        for need in &self.needs {
            let traffic = match need.traffic_per_hour {
                Some(dollars) => format!("{dollars:.4}"),
                None => "-".to_owned(),
            };
            let verdict = if need.is_within { "within" } else { "over" };
            let _ = writeln!(
                out,
                "{:<17} {:>10.0}/s {:>8.2} {:>6} {:>6} {:>10.4} {traffic:>14}  {verdict}",
                need.test, need.rate, need.vcpus, need.pods, need.nodes, need.dollars_per_hour
            );
        }
        let _ = writeln!(
            out,
            "\nThe budget pays for {} nodes of {} beside the rest; of one service alone they do:",
            self.affordable_nodes, self.node
        );
        for (service, rate) in &self.affordable {
            let _ = writeln!(out, "  {service:<12} {rate:>10.0}/s");
        }
        out.push_str(
            "Not included: storage, addresses, gateways, logs and transfer out. /twitter on cache \
             misses is bound by the database.\n",
        );
        out
    }
}
