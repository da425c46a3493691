//! Commands that send nothing: they read reports and write others.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use cost_model::{Load, Prices, Rates, Request, Service, original};
use loadgen::compare::{self, Verdict as Change};
use loadgen::failure::Failure;
use loadgen::live_test::{self, Scoreboard};
use loadgen::report::{self, json, text};

use super::{Verdict, print, write_json};
use crate::args::{Compare, CostPlan, Merge, open};

/// Largest scoreboard that is read, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// `loadgen compare`.
pub(crate) fn compare(options: &Compare) -> Result<Verdict, Failure> {
    let a = json::read(&options.a).map_err(Failure::usage)?;
    let b = json::read(&options.b).map_err(Failure::usage)?;
    let json = open(options.json.as_deref()).map_err(Failure::io)?;
    let comparison = compare::compare(&a, &b, options.tolerance);
    write_json(json, &comparison)?;
    print(&comparison.to_string())?;
    Ok(if !comparison.valid {
        Verdict::TooSlow
    } else if comparison.verdict == Change::Worse {
        Verdict::Failed
    } else {
        Verdict::Good
    })
}

/// `loadgen merge`.
pub(crate) fn merge(options: &Merge) -> Result<Verdict, Failure> {
    let reports = options.reports.iter().map(|path| json::read(path));
    let reports = reports.collect::<Result<Vec<_>>>();
    let merged = reports.and_then(report::merge::merge);
    let mut merged = merged.map_err(Failure::usage)?;
    for limit in &options.fail_if {
        let is_known = |label: &str| merged.scenarios.iter().any(|row| row.label == label);
        if let Some(label) = limit.label().filter(|label| !is_known(label)) {
            let error = anyhow!("--fail-if {limit}: no scenario {label}");
            return Err(Failure::usage(error));
        }
    }
    let exports = options.exports.open().map_err(Failure::io)?;
    merged.judge(&options.fail_if);
    exports.write(&merged).map_err(Failure::io)?;
    print(&text::write(&merged))?;
    Ok(Verdict::of(&merged))
}

/// `loadgen plan`.
pub(crate) fn plan(options: &CostPlan) -> Result<Verdict, Failure> {
    let plan = cost_plan(options).map_err(Failure::usage)?;
    let json = open(options.json.as_deref()).map_err(Failure::io)?;
    write_json(json, &plan)?;
    print(&plan.text())?;
    let is_within = plan.needs.iter().all(|need| need.is_within);
    Ok(if is_within {
        Verdict::Good
    } else {
        Verdict::Failed
    })
}

fn cost_plan(options: &CostPlan) -> Result<cost_model::CostPlan> {
    let prices = match &options.prices {
        Some(path) => Prices::read(path)?,
        None => Prices::built_in()?,
    };
    let mut per_vcpu = options.per_vcpu.clone();
    let mut source = "as --per-vcpu says".to_owned();
    let mut notes = Vec::new();
    let rates = Rates::built_in()?;
    // Bytes are those of the requests, whatever the machine.
    let mut bytes = rates.bytes.clone();
    if per_vcpu.is_empty() && options.measured.is_none() {
        per_vcpu = rates.per_vcpu();
        source = rates.source();
    }
    if let (Some(path), Some(vcpus)) = (&options.measured, options.server_vcpus) {
        let found = measured(path)?;
        let notes_of_file = found.notes.into_iter();
        notes.extend(notes_of_file.map(|note| format!("{}: {note}", path.display())));
        for measured in found.services {
            let service = measured.service;
            // What is said wins over what a file says.
            if per_vcpu.iter().all(|known| known.service != service) {
                per_vcpu.push(Load {
                    service,
                    rate: measured.rate / vcpus,
                });
            }
            bytes.insert(service.name().to_owned(), measured.bytes);
        }
        source = format!("from {}", path.display());
    }
    let mut loads = options.loads.clone();
    if loads.is_empty() {
        // The original live tests, of those services that were measured.
        let known = |service: &Service| per_vcpu.iter().any(|load| load.service == *service);
        let services = Service::ALL.into_iter().filter(known);
        loads.extend(services.map(|service| Load {
            service,
            rate: original(service).rate,
        }));
    }
    let request = Request {
        budget: options.budget,
        per_vcpu,
        source,
        bytes,
        loads,
        node: options.node.clone(),
        database: (options.database != "none").then(|| options.database.clone()),
        utilisation: options.utilisation,
        reserved_vcpus: options.reserved_vcpus,
        min_nodes: u64::from(options.min_nodes),
    };
    let mut plan = cost_model::plan(&request, &prices)?;
    plan.notes = notes;
    Ok(plan)
}

/// What a service did.
struct Measured {
    service: Service,
    rate: f64,
    bytes: f64,
}

/// What was measured, and what to know of it.
struct Source {
    services: Vec<Measured>,
    notes: Vec<String>,
}

/// Reads a scoreboard, or a report with a service as its scenario.
fn measured(path: &Path) -> Result<Source> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: String,
    }
    let shown = path.display();
    let size = std::fs::metadata(path)
        .with_context(|| format!("cannot read {shown}"))?
        .len();
    if size > MAX_FILE_BYTES {
        bail!("{shown} has {size} bytes, and {MAX_FILE_BYTES} are allowed");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let head: Head = serde_json::from_str(&text)
        .with_context(|| format!("{shown}: neither a scoreboard nor a report of loadgen"))?;
    if head.format == live_test::FORMAT {
        let board: Scoreboard = serde_json::from_str(&text)
            .with_context(|| format!("{shown}: a damaged scoreboard"))?;
        let alone = board.scores.iter().filter(|score| score.test == "alone");
        let services = alone.filter_map(|score| {
            Some(Measured {
                service: score.service.parse().ok()?,
                rate: score.rate,
                bytes: score.bytes,
            })
        });
        return Ok(Source {
            services: services.collect(),
            notes: board.notes,
        });
    }
    let report = json::parse(&text).with_context(|| shown.to_string())?;
    if report.scenarios.len() != 1 {
        bail!("{shown}: of a mix it is not known what each service could do alone");
    }
    let services = report.scenarios.iter().filter_map(|row| {
        let bytes = (row.bytes_in_per_s + row.bytes_out_per_s) / row.rate.max(1e-9);
        Some(Measured {
            service: row.label.parse().ok()?,
            rate: row.rate,
            bytes,
        })
    });
    let mut notes = report.notes.clone();
    notes.extend(report.invalid_reason.clone());
    if report.plan.load != "closed" {
        notes.push("an open loop: the service may do more than it was asked to".to_owned());
    }
    Ok(Source {
        services: services.collect(),
        notes,
    })
}
