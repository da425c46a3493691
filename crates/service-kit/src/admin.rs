//! The second listener: live, ready, metrics, version. It runs on a thread of its own, so that
//! it answers while the workers are busy.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing_subscriber::filter::Targets;

use crate::Facts;
use crate::config;
use crate::drain::{Drain, Phase};
use crate::health::Health;
use crate::listener;
use crate::metrics::{Label, Metrics, State};
use crate::request::Query;
use crate::respond::{ContentType, KitOutcome, Reply};
use crate::telemetry::{self, LevelSwitch};

/// Monitoring needs few connections; more than this many wait in the kernel.
const MAX_CONNECTIONS: usize = 64;

/// How long a changed log level holds, unless the change says so itself.
const USUAL_MINUTES: u64 = 10;
/// And how long at most.
const MAX_MINUTES: usize = 24 * 60;

/// What the admin endpoints show.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) phase: PhaseGauge,
    pub(crate) drain: Drain,
    pub(crate) version: serde_json::Value,
    pub(crate) facts: Facts,
    pub(crate) level: LevelSwitch,
    #[cfg(feature = "fault-injection")]
    pub(crate) faults: Option<crate::faults::Faults>,
}

/// Serves for ever; the caller drops it at the very end of a stop.
pub(crate) async fn serve(listener: TcpListener, admin: Admin) {
    let admin = Arc::new(admin);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let stream = listener::accept(&listener).await;
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = admin.respond(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                // Idle connections would take the probes' places.
                .keep_alive(false)
                .header_read_timeout(Duration::from_secs(5))
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "admin connection ended early");
            }
            drop(slot);
        });
    }
}

impl Admin {
    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let uri = request.uri();
        #[cfg(feature = "fault-injection")]
        if uri.path() == "/faults"
            && let Some(faults) = &self.faults
        {
            let query = uri.query().unwrap_or_default();
            return change_faults(faults, request.method(), query).into_response();
        }
        let known = matches!(uri.path(), "/livez" | "/readyz" | "/metrics" | "/version");
        let reply = if uri.path() == "/log-level" {
            self.log_level(request.method(), uri.query().unwrap_or_default())
        } else if !known {
            Reply::not_found()
        } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
            Reply::method_not_allowed()
        } else {
            match uri.path() {
                "/livez" => Reply::kit(KitOutcome::Probe, StatusCode::OK, "alive\n"),
                "/metrics" => {
                    self.phase.update(&self.drain, &self.health);
                    if takes_open_metrics(request) {
                        show(ContentType::OpenMetrics, self.metrics.render_open())
                    } else {
                        show(ContentType::Metrics, self.metrics.render())
                    }
                }
                "/version" => show(ContentType::Json, line(&self.facts.with(&self.version))),
                _ => return self.readiness(uri.query()),
            }
        };
        reply.into_response()
    }

    /// `GET` shows the level, `PUT ?level=…&minutes=…` changes it for a while.
    fn log_level(&self, method: &Method, query: &str) -> Reply {
        if matches!(*method, Method::GET | Method::HEAD) {
            return show(
                ContentType::Text,
                format!("{}\n", self.level.shown()).into(),
            );
        }
        if method != Method::PUT {
            return Reply::method_not_allowed_but("GET, HEAD, PUT");
        }
        match parse_level(query) {
            Ok((level, time)) => {
                self.level.set_for(level, time);
                let shown = self.level.shown();
                let line = format!("{shown} for {} minutes\n", time.as_secs() / 60);
                show(ContentType::Text, line.into())
            }
            Err(why) => Reply::bad_request(KitOutcome::Probe, format!("{why}\n")),
        }
    }

    fn readiness(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let phase = self.drain.phase();
        let ready = phase == Phase::Serving && self.health.is_ready();
        let (content_type, body) = if query.is_some_and(|query| query == "verbose") {
            let phase = Phase::ALL.get(phase.index()).copied().unwrap_or_default();
            let latches = self.health.json();
            let shown = serde_json::json!({"ready": ready, "phase": phase, "latches": latches});
            (ContentType::Json, line(&shown))
        } else if ready {
            (ContentType::Text, b"ready\n".to_vec())
        } else if phase == Phase::Serving {
            let text = format!("not ready: {}\n", self.health.explain());
            (ContentType::TextUtf8, text.into_bytes())
        } else {
            (ContentType::Text, b"not ready: stopping\n".to_vec())
        };
        let mut response = show(content_type, body).into_response();
        if !ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }
}

crate::labels! {
    /// Where in its life the process is, as a scrape sees it.
    enum Life {
        /// Ready.
        Serving => "serving",
        /// No stop has begun, but a latch is shut.
        Unready => "unready",
        /// A stop has begun; requests are still taken.
        Settling => "settling",
        /// Requests in hand are finished, no more are taken.
        Draining => "draining",
        /// What was left has been cut.
        Stopped => "stopped",
    }
}

/// The phase as a metric, brought up to date by each scrape.
#[derive(Debug)]
pub(crate) struct PhaseGauge(State);

impl PhaseGauge {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let help = "Where in its life the process is: 1 for the phase that it is in.";
        Self(metrics.state("phase", help, "phase", Life::ALL))
    }

    fn update(&self, drain: &Drain, health: &Health) {
        let life = match drain.phase() {
            Phase::Serving if health.is_ready() => Life::Serving,
            Phase::Serving => Life::Unready,
            Phase::Settling => Life::Settling,
            Phase::Closing => Life::Draining,
            Phase::Closed => Life::Stopped,
        };
        self.0.enter(life.index());
    }
}

/// Whether a scraper knows the format that has exemplars. Those that do say so and prefer it.
fn takes_open_metrics(request: &Request<Incoming>) -> bool {
    let mut accepted = request.headers().get_all(ACCEPT).into_iter();
    accepted.any(|value| {
        let value = value.to_str().unwrap_or_default();
        value.contains("application/openmetrics-text")
    })
}

/// The level and for how long.
fn parse_level(query: &str) -> Result<(Targets, Duration), String> {
    let values = Query(query.as_bytes()).first(["level", "minutes"]);
    let [level, minutes] = values.map(|value| {
        let value = value.and_then(|value| value.decode().ok())?;
        String::from_utf8(value.into_owned()).ok()
    });
    let level =
        telemetry::log_level(&level.ok_or("level is missing: PUT /log-level?level=debug")?)?;
    let minutes = match minutes {
        None => USUAL_MINUTES,
        Some(minutes) => config::number(1..=MAX_MINUTES)(&minutes)
            .map_err(|why| format!("minutes: {why}"))? as u64,
    };
    Ok((level, Duration::from_mins(minutes)))
}

/// `GET` shows the faults in force, `PUT` puts others in force, `DELETE` ends them.
#[cfg(feature = "fault-injection")]
fn change_faults(faults: &crate::faults::Faults, method: &Method, query: &str) -> Reply {
    match *method {
        Method::GET | Method::HEAD => {}
        Method::PUT => match crate::faults::Plan::parse(query) {
            Ok(plan) => faults.set(plan),
            Err(why) => return Reply::bad_request(KitOutcome::Probe, format!("{why}\n")),
        },
        Method::DELETE => faults.end(),
        _ => return Reply::method_not_allowed_but("GET, HEAD, PUT, DELETE"),
    }
    show(ContentType::Json, line(&faults.json()))
}

fn show(content_type: ContentType, body: Vec<u8>) -> Reply {
    Reply::ok(KitOutcome::Probe, content_type, body)
}

fn line(value: &serde_json::Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shut_latch_is_unready_until_a_stop_begins() {
        let metrics = Metrics::new("test", 1);
        let phase = PhaseGauge::new(&metrics);
        let (drain, health) = (Drain::new(), Health::default());
        let shown = || {
            phase.update(&drain, &health);
            let text = String::from_utf8(metrics.render()).unwrap();
            let is_one = |line: &&str| line.ends_with("\"} 1");
            text.lines().find(is_one).unwrap_or_default().to_owned()
        };
        assert_eq!(shown(), "test_phase{phase=\"serving\"} 1");
        let latch = health.latch("table");
        assert_eq!(shown(), "test_phase{phase=\"unready\"} 1");
        latch.release();
        assert_eq!(shown(), "test_phase{phase=\"serving\"} 1");
        latch.shut("away");
        drain.advance(Phase::Settling);
        assert_eq!(shown(), "test_phase{phase=\"settling\"} 1");
    }
}
