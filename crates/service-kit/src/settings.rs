//! The settings that every service has.

use std::net::SocketAddr;
use std::time::Duration;

use tracing_subscriber::filter::Targets;

use crate::access;
use crate::config::{self, Reader, Setting};
use crate::telemetry::{self, LogFormat};
use crate::trace;

const LISTEN_ADDR: Setting = Setting::with_default(
    "LISTEN_ADDR",
    "0.0.0.0:8080",
    "Address for traffic, IP:PORT; port 0 picks a free one.",
);
pub(crate) const ADMIN_ADDR: Setting = Setting::with_default(
    "ADMIN_ADDR",
    "0.0.0.0:9090",
    "Address for /livez, /readyz, /metrics and /version, IP:PORT; port 0 picks a free one.",
);
const TEAM_ID: Setting =
    Setting::required("TEAM_ID", "First word of the first line of every reply.");
const AWS_ACCOUNT_ID: Setting = Setting::required(
    "AWS_ACCOUNT_ID",
    "Second word of the first line of every reply.",
);
const SETTLE_MS: Setting = Setting::with_default(
    "SETTLE_MS",
    "20000",
    "How long to go on serving, unready, after SIGTERM; SIGINT skips it. Milliseconds.",
);
const DRAIN_MS: Setting = Setting::with_default(
    "DRAIN_MS",
    "15000",
    "How long requests in hand may take after that before they are cut. Milliseconds.",
);
const WORKERS: Setting = Setting::optional(
    "WORKERS",
    "Worker threads; without it one for each CPU that the process may use.",
);
const KEEP_ALIVE_MS: Setting = Setting::with_default(
    "KEEP_ALIVE_MS",
    "75000",
    "How long a connection may idle or take to send a head; must exceed the load balancer's idle time-out. Milliseconds.",
);
const CROWDED_IDLE_MS: Setting = Setting::with_default(
    "CROWDED_IDLE_MS",
    "5000",
    "How long that may be while new connections wait because of MAX_CONNECTIONS. Milliseconds.",
);
const REQUEST_DEADLINE_MS: Setting = Setting::with_default(
    "REQUEST_DEADLINE_MS",
    "10000",
    "How long a request may wait for its reply before it is answered 503. Milliseconds.",
);
const SEND_DEADLINE_MS: Setting = Setting::with_default(
    "SEND_DEADLINE_MS",
    "60000",
    "How long a client may leave replies waiting, however little it takes now and then, before its connection is closed. Milliseconds.",
);
const MAX_CONNECTIONS: Setting = Setting::with_default(
    "MAX_CONNECTIONS",
    "8192",
    "Open connections; more wait in the kernel's queue until one closes.",
);
const MAX_IN_FLIGHT: Setting = Setting::with_default(
    "MAX_IN_FLIGHT",
    "4096",
    "Requests in hand; more are answered 503 with Retry-After.",
);
const MIN_IN_FLIGHT: Setting = Setting::with_default(
    "MIN_IN_FLIGHT",
    "128",
    "How far rising latency may lower MAX_IN_FLIGHT for requests that wait, such as for a look-up; no less than that turns it off.",
);
const PAUSE_READS_MS: Setting = Setting::with_default(
    "PAUSE_READS_MS",
    "25",
    "How late a worker may come to its work before it stops accepting and reading until it has worked off what it read; 0 turns it off. Milliseconds.",
);
const LOG_LEVEL: Setting = Setting::with_default(
    "LOG_LEVEL",
    "info",
    "error, warn, info, debug, trace or off, or target=level pairs separated by commas.",
);
const LOG_FORMAT: Setting = Setting::with_default(
    "LOG_FORMAT",
    "auto",
    "text, json, or auto: text on a terminal and json otherwise.",
);

/// All of them, in the order of `--help`.
pub const COMMON: &[&Setting] = &[
    &LISTEN_ADDR,
    &ADMIN_ADDR,
    &TEAM_ID,
    &AWS_ACCOUNT_ID,
    &SETTLE_MS,
    &DRAIN_MS,
    &WORKERS,
    &KEEP_ALIVE_MS,
    &CROWDED_IDLE_MS,
    &REQUEST_DEADLINE_MS,
    &SEND_DEADLINE_MS,
    &MAX_CONNECTIONS,
    &MAX_IN_FLIGHT,
    &MIN_IN_FLIGHT,
    &PAUSE_READS_MS,
    &LOG_LEVEL,
    &LOG_FORMAT,
    &access::ACCESS_LOG_SLOW_MS,
    &access::ACCESS_LOG_ONE_IN,
    &trace::OTLP_ENDPOINT,
    &trace::TRACE_SAMPLE,
];

/// Settings that only some builds have.
pub(crate) const OF_THIS_BUILD: &[&Setting] = &[
    #[cfg(feature = "fault-injection")]
    &crate::faults::FAULT_INJECTION,
];

/// The common settings, parsed.
#[derive(Clone, Debug)]
pub struct Common {
    pub(crate) listen_addr: SocketAddr,
    pub(crate) admin_addr: SocketAddr,
    team_id: String,
    aws_account_id: String,
    pub(crate) settle: Duration,
    pub(crate) drain: Duration,
    pub(crate) workers: Option<usize>,
    pub(crate) keep_alive: Duration,
    pub(crate) crowded_idle: Duration,
    pub(crate) request_deadline: Duration,
    pub(crate) send_deadline: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) min_in_flight: usize,
    pub(crate) pause_reads: Duration,
    pub(crate) log_level: Targets,
    pub(crate) log_format: LogFormat,
    pub(crate) access: access::Settings,
    pub(crate) trace: trace::Settings,
    #[cfg(feature = "fault-injection")]
    pub(crate) faults: bool,
}

impl Common {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let listen_addr = reader.value(&LISTEN_ADDR, config::socket_addr);
        let admin_addr = reader.value(&ADMIN_ADDR, config::socket_addr);
        let team_id = reader.value(&TEAM_ID, config::reply_word);
        let aws_account_id = reader.value(&AWS_ACCOUNT_ID, config::reply_word);
        let settle = reader.value(&SETTLE_MS, config::millis);
        let drain = reader.value(&DRAIN_MS, config::millis);
        let workers = reader.optional(&WORKERS, config::number(1..=1024));
        let keep_alive = reader.value(&KEEP_ALIVE_MS, config::positive_millis);
        let crowded_idle = reader.value(&CROWDED_IDLE_MS, config::positive_millis);
        let request_deadline = reader.value(&REQUEST_DEADLINE_MS, config::positive_millis);
        let send_deadline = reader.value(&SEND_DEADLINE_MS, config::positive_millis);
        let max_connections = reader.value(&MAX_CONNECTIONS, config::number(1..=1_000_000));
        let max_in_flight = reader.value(&MAX_IN_FLIGHT, config::number(1..=1_000_000));
        let min_in_flight = reader.value(&MIN_IN_FLIGHT, config::number(1..=1_000_000));
        let pause_reads = reader.value(&PAUSE_READS_MS, config::millis);
        let log_level = reader.value(&LOG_LEVEL, telemetry::log_level);
        let log_format = reader.value(&LOG_FORMAT, telemetry::log_format);
        let access = access::Settings::read(reader);
        let trace = trace::Settings::read(reader);
        #[cfg(feature = "fault-injection")]
        let faults = reader.value(&crate::faults::FAULT_INJECTION, crate::faults::switch);
        if let (Some(listen), Some(admin)) = (listen_addr, admin_addr)
            && listen == admin
            && listen.port() != 0
        {
            reader.mistake(format!(
                "LISTEN_ADDR and ADMIN_ADDR are both {listen}: give each a port of its own"
            ));
        }
        Some(Self {
            listen_addr: listen_addr?,
            admin_addr: admin_addr?,
            team_id: team_id?,
            aws_account_id: aws_account_id?,
            settle: settle?,
            drain: drain?,
            workers: workers?,
            keep_alive: keep_alive?,
            crowded_idle: crowded_idle?,
            request_deadline: request_deadline?,
            send_deadline: send_deadline?,
            max_connections: max_connections?,
            max_in_flight: max_in_flight?,
            min_in_flight: min_in_flight?,
            pause_reads: pause_reads?,
            log_level: log_level?,
            log_format: log_format?,
            access: access?,
            trace: trace?,
            #[cfg(feature = "fault-injection")]
            faults: faults?,
        })
    }

    /// The first line of every reply, without its newline: `<TEAM_ID>,<AWS_ACCOUNT_ID>`.
    pub fn header_line(&self) -> String {
        format!("{},{}", self.team_id, self.aws_account_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_them() {
        let table = config::markdown_table(COMMON);
        assert!(
            include_str!("../../../README.md").contains(&table),
            "{table}"
        );
    }
}
