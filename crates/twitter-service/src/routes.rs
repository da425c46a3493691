//! The only place that knows URLs.

/// One value for each path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The contract.
    Contacts,
}

pub(crate) fn route(path: &str) -> Option<Route> {
    (path == "/twitter").then_some(Route::Contacts)
}
