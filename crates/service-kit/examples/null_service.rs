//! The least that a service can be: constant replies, and routes that misbehave on purpose. The
//! kit's own tests run against it, and its `/ok` shows what the kit costs by itself.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use service_kit::config::Reader;
use service_kit::limits::ContractLimits;
use service_kit::request::Request;
use service_kit::respond::{ContentType, Reply};
use service_kit::{Service, Setup, config::Setting};
use tokio::sync::Semaphore;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

service_kit::labels! {
    enum Outcome {
        Ok => "ok",
    }
}

#[derive(Clone, Copy)]
enum Route {
    Ok,
    Panic,
    Slow,
    Queue,
    Spin,
    Big,
}

/// What `/queue` has for all who ask a worker at the same time.
const PLACES: usize = 4;

struct Null {
    places: Semaphore,
}

impl Service for Null {
    const NAME: &'static str = "null";
    const ABOUT: &'static str = "Answers with constants.";
    const ALLOCATOR: &'static str = "mimalloc";
    const SETTINGS: &'static [&'static Setting] = &[];
    const LIMITS: ContractLimits = ContractLimits {
        target_bytes: 1024,
        small_replies: true,
    };

    type Outcome = Outcome;
    type Config = ();
    type Shared = ();
    type Route = Route;

    fn configure(_reader: &mut Reader<'_>) -> Option<()> {
        Some(())
    }

    fn prepare((): (), _setup: &Setup) {}

    fn worker(_shared: &Arc<()>, _index: usize) -> Self {
        Self {
            places: Semaphore::new(PLACES),
        }
    }

    fn route(path: &str) -> Option<Route> {
        match path {
            "/ok" => Some(Route::Ok),
            "/panic" => Some(Route::Panic),
            "/slow" => Some(Route::Slow),
            "/queue" => Some(Route::Queue),
            "/spin" => Some(Route::Spin),
            "/big" => Some(Route::Big),
            _ => None,
        }
    }

    async fn call(&self, route: Route, request: Request<'_>) -> Reply {
        match route {
            Route::Ok => Reply::ok(Outcome::Ok, ContentType::Text, "Hello, World!"),
            Route::Panic => panic!("on purpose"),
            Route::Slow => {
                tokio::time::sleep(time(&request)).await;
                Reply::ok(Outcome::Ok, ContentType::Text, "slow")
            }
            // A dependency that can do so much and no more.
            Route::Queue => {
                let place = self.places.acquire().await;
                tokio::time::sleep(time(&request)).await;
                drop(place);
                Reply::ok(Outcome::Ok, ContentType::Text, "queued")
            }
            // Work that keeps the worker from all others.
            Route::Spin => {
                let end = Instant::now() + time(&request);
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
                Reply::ok(Outcome::Ok, ContentType::Text, "spun")
            }
            Route::Big => {
                let length = number(&request, "kb", 100) * 1000;
                Reply::ok(Outcome::Ok, ContentType::Text, vec![b'x'; length])
            }
        }
    }
}

/// How long a request wants to take.
fn time(request: &Request<'_>) -> Duration {
    Duration::from_millis(number(request, "ms", 1000) as u64)
}

/// A number that a request names.
fn number(request: &Request<'_>, name: &str, usual: usize) -> usize {
    let [value] = request.query().first([name]);
    let text = value.and_then(|value| std::str::from_utf8(value.raw()).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn main() -> ExitCode {
    service_kit::main::<Null>()
}
