//! The least that a service can be: constant replies, and routes that misbehave on purpose. The
//! kit's own tests run against it, and its `/ok` shows what the kit costs by itself.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use service_kit::config::Reader;
use service_kit::limits::ContractLimits;
use service_kit::request::Request;
use service_kit::respond::{ContentType, Reply};
use service_kit::{Service, Setup, config::Setting};

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
    Big,
}

struct Null;

impl Service for Null {
    const NAME: &'static str = "null";
    const ABOUT: &'static str = "Answers with constants.";
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
        Self
    }

    fn route(path: &str) -> Option<Route> {
        match path {
            "/ok" => Some(Route::Ok),
            "/panic" => Some(Route::Panic),
            "/slow" => Some(Route::Slow),
            "/big" => Some(Route::Big),
            _ => None,
        }
    }

    async fn call(&self, route: Route, request: Request<'_>) -> Reply {
        match route {
            Route::Ok => Reply::ok(Outcome::Ok, ContentType::Text, "Hello, World!"),
            Route::Panic => panic!("on purpose"),
            Route::Slow => {
                let [millis] = request.query().first(["ms"]);
                let millis = millis.and_then(|value| std::str::from_utf8(value.raw()).ok());
                let millis = millis.and_then(|text| text.parse().ok()).unwrap_or(1000);
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Reply::ok(Outcome::Ok, ContentType::Text, "slow")
            }
            Route::Big => Reply::ok(Outcome::Ok, ContentType::Text, vec![b'x'; 100_000]),
        }
    }
}

fn main() -> ExitCode {
    service_kit::main::<Null>()
}
