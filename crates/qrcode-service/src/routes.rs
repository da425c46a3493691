//! The only place that knows URLs.

/// One value for each path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The contract.
    Symbol,
    /// A picture for people, beyond the contract.
    Image,
}

pub(crate) fn route(path: &str) -> Option<Route> {
    match path {
        "/qrcode" => Some(Route::Symbol),
        "/qrcode/image" => Some(Route::Image),
        _ => None,
    }
}
