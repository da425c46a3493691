//! The only place that knows URLs.

/// One value for each path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The contract.
    Chain,
}

pub(crate) fn route(path: &str) -> Option<Route> {
    (path == "/blockchain").then_some(Route::Chain)
}
