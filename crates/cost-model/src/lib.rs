//! What a load costs: from requests a second that one vCPU does to nodes, pods and dollars an hour.
//!
//! A service needs `load / (rate of a vCPU * utilisation)` vCPUs, in two equal pods at least and
//! none larger than one vCPU or the largest size of which a whole number fills a node. Pods are
//! put into nodes, which hold what is left of their vCPUs beside the system's own share. Every
//! price comes from the price file.

pub mod prices;
pub mod rates;
mod service;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

pub use prices::Prices;
pub use rates::Rates;
pub use service::{Original, Service, original};

/// The name of the format, with its version; `plan.schema.json` of the crate `loadgen` describes it.
pub const FORMAT: &str = "tripod-loadgen-plan/1";

/// Pods of a service at least, so that one may fail.
const MIN_PODS: u64 = 2;
/// More are not planned: whoever needs so many needs more than this.
const MAX_VCPUS: f64 = 10_000.0;
/// Bytes of a gigabyte, and seconds of an hour.
const GIGA: f64 = 1e9;
const HOUR_S: f64 = 3600.0;
/// A budget that is met to the cent must not fail by a digit of the sum.
const CENT_PART: f64 = 1e-9;
/// Sums of shares may be a digit above or below a whole number.
const DIGIT: f64 = 1e-9;

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
    /// Where those figures come from.
    pub source: String,
    /// Bytes of a request and its reply, where that was measured.
    pub bytes: BTreeMap<String, f64>,
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
    /// Pods.
    pub pods: u64,
    /// vCPUs of the largest of them.
    pub pod_vcpus: f64,
    /// Nodes that hold the pods.
    pub nodes: u64,
    /// Dollars an hour: nodes, control plane, database and load balancer.
    pub dollars_per_hour: f64,
    /// Dollars an hour on top while the load lasts: capacity units of the load balancer; nothing
    /// where bytes were not measured.
    pub traffic_per_hour: Option<f64>,
    /// Both, as far as it is known.
    pub total_per_hour: f64,
    /// Whether the first stays within the budget, as it does between loads.
    pub is_idle_within: bool,
    /// Whether all of it does.
    pub is_within: bool,
}

impl Need {
    /// How it stands to the budget, in a word or two.
    pub const fn verdict(&self) -> &'static str {
        match (self.is_within, self.is_idle_within, self.traffic_per_hour) {
            (true, _, Some(_)) => "within",
            (true, _, None) => "within without traffic",
            (false, true, _) => "over by traffic",
            (false, false, _) => "over",
        }
    }
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostPlan {
    /// [`FORMAT`].
    pub format: String,
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
    /// What one vCPU does of each service at most, in requests a second.
    pub per_vcpu: Vec<(String, f64)>,
    /// Where those figures come from.
    pub source: String,
    /// How busy a vCPU may be.
    pub utilisation: f64,
    /// What each load needs.
    pub needs: Vec<Need>,
    /// Nodes that the budget pays for while nothing is sent.
    pub affordable_nodes: u64,
    /// What the budget pays for of each service alone, in requests a second: nodes, and traffic
    /// where bytes were measured.
    pub affordable: Vec<(String, f64)>,
    /// What a reader should know of the figures that it is made of.
    pub notes: Vec<String>,
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
    let fixed = fixed(request, prices)?;
    let standing: f64 = fixed.iter().map(|(_, dollars)| dollars).sum();
    let unit = prices.hourly("load_balancer_capacity_unit")?;
    let unit_bytes_per_s = prices.load_balancer_capacity_unit.gb_per_hour * GIGA / HOUR_S;
    let traffic = |load: &Load| {
        let bytes = request.bytes.get(load.service.name())?;
        Some(bytes * load.rate / unit_bytes_per_s * unit)
    };
    // A whole number of the largest pods fills a node.
    let largest_pod = usable / usable.ceil();
    let need = |test: &str, loads: &[Load]| -> Result<Need> {
        let (mut vcpus, mut sizes, mut rate) = (0.0, Vec::new(), 0.0);
        let mut traffic_per_hour = Some(0.0);
        for load in loads {
            let needed = load.rate / (per_vcpu(request, load.service)? * request.utilisation);
            vcpus += needed;
            if vcpus.is_nan() || vcpus > MAX_VCPUS {
                bail!("{test} needs over {MAX_VCPUS} vCPUs");
            }
            let pods = whole(needed / largest_pod).max(MIN_PODS);
            sizes.extend((0..pods).map(|_| needed / as_f64(pods)));
            rate += load.rate;
            traffic_per_hour = traffic_per_hour
                .zip(traffic(load))
                .map(|(sum, more)| sum + more);
        }
        let pods = sizes.len() as u64;
        let pod_vcpus = sizes.iter().copied().fold(0.0, f64::max);
        let nodes = nodes_for(sizes, usable).max(request.min_nodes);
        let dollars_per_hour = standing + as_f64(nodes) * node_per_hour;
        let total_per_hour = dollars_per_hour + traffic_per_hour.unwrap_or(0.0);
        Ok(Need {
            test: test.to_owned(),
            rate,
            vcpus,
            pods,
            pod_vcpus,
            nodes,
            dollars_per_hour,
            traffic_per_hour,
            total_per_hour,
            is_idle_within: dollars_per_hour <= request.budget + CENT_PART,
            is_within: total_per_hour <= request.budget + CENT_PART,
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
    let affordable_nodes = floor((left + CENT_PART) / node_per_hour);
    let (mut affordable, mut rates) = (Vec::new(), Vec::new());
    for load in &request.loads {
        let rate = per_vcpu(request, load.service)?;
        let name = load.service.name();
        let node_rate = rate * request.utilisation * usable;
        let dollars_per_request = traffic(load).map_or(0.0, |dollars| dollars / load.rate);
        let most = affordable_rate(left, node_per_hour, node_rate, dollars_per_request);
        affordable.push((name.to_owned(), most));
        rates.push((name.to_owned(), rate));
    }
    Ok(CostPlan {
        format: FORMAT.to_owned(),
        budget: request.budget,
        prices: format!("{}, {}, {}", prices.as_of, prices.region, prices.currency),
        fixed,
        node_per_hour,
        node: request.node.clone(),
        per_vcpu: rates,
        source: request.source.clone(),
        utilisation: request.utilisation,
        needs,
        affordable_nodes,
        affordable,
        notes: Vec::new(),
    })
}

/// What stands whatever the load is.
fn fixed(request: &Request, prices: &Prices) -> Result<Vec<(String, f64)>> {
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
    Ok(fixed)
}

/// Nodes that hold pods of these sizes: the largest pod first, each where there is room first.
fn nodes_for(mut pods: Vec<f64>, room: f64) -> u64 {
    pods.sort_by(|a, b| b.total_cmp(a));
    let mut free: Vec<f64> = Vec::new();
    for pod in pods {
        match free.iter_mut().find(|free| **free + DIGIT >= pod) {
            Some(free) => *free -= pod,
            None => free.push(room - pod),
        }
    }
    free.len() as u64
}

/// The highest rate that so many dollars an hour pay for: whole nodes, and the traffic of what they
/// do. More nodes leave less for traffic, so that the best number of them is not the largest.
fn affordable_rate(left: f64, node: f64, node_rate: f64, dollars_per_request: f64) -> f64 {
    // Both limits at once: a fraction of a node, then the whole numbers beside it.
    let ideal = left / (node + node_rate * dollars_per_request);
    let rate = |nodes: f64| {
        let traffic = (left + CENT_PART - nodes * node).max(0.0) / dollars_per_request;
        (nodes * node_rate).min(traffic)
    };
    let (below, above) = ((ideal + DIGIT).floor(), ideal.ceil());
    let above = if above * node <= left + CENT_PART {
        rate(above)
    } else {
        0.0
    };
    rate(below).max(above)
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
    (number - DIGIT).ceil() as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts saturate, and nobody has so many nodes"
)]
fn floor(number: f64) -> u64 {
    number.floor() as u64
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn as_f64(number: u64) -> f64 {
    number as f64
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
            "\nA vCPU does, requests a second ({}), of which {:.0} % are planned with:",
            self.source,
            self.utilisation * 100.0
        );
        for (service, rate) in &self.per_vcpu {
            let _ = writeln!(out, "  {service:<28} {rate:>8.0}");
        }
        let _ = writeln!(
            out,
            "\n{:<17} {:>12} {:>8} {:>6} {:>8} {:>6} {:>10} {:>14} {:>10}  Budget {}",
            "Load",
            "Requests",
            "vCPUs",
            "Pods",
            "of vCPUs",
            "Nodes",
            "$/hour",
            "traffic $/hour",
            "all $/hour",
            self.budget
        );
        for need in &self.needs {
            let traffic = match need.traffic_per_hour {
                Some(dollars) => format!("{dollars:.4}"),
                None => "-".to_owned(),
            };
            let _ = writeln!(
                out,
                "{:<17} {:>10.0}/s {:>8.2} {:>6} {:>8.2} {:>6} {:>10.4} {traffic:>14} {:>10.4}  {}",
                need.test,
                need.rate,
                need.vcpus,
                need.pods,
                need.pod_vcpus,
                need.nodes,
                need.dollars_per_hour,
                need.total_per_hour,
                need.verdict()
            );
        }
        let _ = writeln!(
            out,
            "\nThe budget pays for {} nodes of {} beside the rest while nothing is sent; traffic paid too, of one \
             service alone:",
            self.affordable_nodes, self.node
        );
        for (service, rate) in &self.affordable {
            let _ = writeln!(out, "  {service:<12} {rate:>10.0}/s");
        }
        for note in &self.notes {
            let _ = writeln!(out, "Note: {note}");
        }
        out.push_str(
            "Traffic is the load balancer's capacity units for an hour of the full load. Not included: storage, \
             addresses, gateways, logs and transfer out. /twitter is planned as if no user were cached; its \
             database is not sized here.\n",
        );
        out
    }
}
