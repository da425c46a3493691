//! Settings of this service beside the common ones.

use std::time::Duration;

use http::Uri;
use service_kit::config::{self, Reader, Setting};

const AUTH_URL: Setting = Setting::optional(
    "AUTH_URL",
    "Authentication service, http://HOST:PORT[/PATH]; with it, decode requests that carry a timestamp are answered with its token.",
)
// Refused with credentials, and they are not shown even then.
.url_with_password();
const AUTH_TIMEOUT_MS: Setting = Setting::with_default(
    "AUTH_TIMEOUT_MS",
    "1000",
    "How long the authentication service may take. Milliseconds.",
);

/// All of them.
pub(crate) const SETTINGS: &[&Setting] = &[&AUTH_URL, &AUTH_TIMEOUT_MS];

/// The path of the REST form when the address names none.
const DEFAULT_AUTH_PATH: &str = "/rest_auth";

/// The settings, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where tokens come from, if anywhere.
    pub(crate) auth_url: Option<Uri>,
    /// How long one exchange may take.
    pub(crate) auth_timeout: Duration,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let auth_url = reader.optional(&AUTH_URL, auth_url);
        let auth_timeout = reader.value(&AUTH_TIMEOUT_MS, config::positive_millis);
        Some(Self {
            auth_url: auth_url?,
            auth_timeout: auth_timeout?,
        })
    }
}

fn auth_url(text: &str) -> Result<Uri, String> {
    let expected = "expected http://HOST:PORT or http://HOST:PORT/PATH";
    let uri: Uri = text.parse().map_err(|_| expected.to_owned())?;
    let mut parts = uri.into_parts();
    let plain_http = parts.scheme.as_ref().is_some_and(|s| s.as_str() == "http");
    let host = parts
        .authority
        .as_ref()
        .map_or("", |authority| authority.as_str());
    // Credentials would be shown by --print-config and never sent.
    if !plain_http || host.is_empty() || host.contains('@') {
        return Err(expected.to_owned());
    }
    if parts.path_and_query.as_ref().is_none_or(|path| path == "/") {
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static(DEFAULT_AUTH_PATH));
    }
    Uri::from_parts(parts).map_err(|_| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_them() {
        let table = config::markdown_table(SETTINGS);
        assert!(
            include_str!("../../../README.md").contains(&table),
            "{table}"
        );
    }

    #[test]
    fn an_address_without_a_path_gets_the_usual_one() {
        for text in ["http://auth:9000", "http://auth:9000/"] {
            assert_eq!(auth_url(text).unwrap(), "http://auth:9000/rest_auth");
        }
        assert_eq!(auth_url("http://auth/x").unwrap(), "http://auth/x");
    }

    #[test]
    fn other_schemes_and_bare_hosts_are_refused() {
        for text in [
            "https://auth:9000",
            "auth:9000",
            "/rest_auth",
            "http://",
            "http://user:secret@auth:9000",
        ] {
            assert!(auth_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_storm_of_environments_gives_settings_or_says_what_is_wrong() {
        use storm::settings::{Known, POSITIVE_MILLIS, Rule, optional};
        const KNOWN: &[Known] = &[
            optional(
                "AUTH_URL",
                Rule::Of(
                    &[
                        "http://auth:9000",
                        "http://auth:9000/",
                        "http://[::1]:1/a/b",
                    ],
                    &[
                        "https://auth",
                        "auth:9000",
                        "http://",
                        "http://u:hunter2@auth:9000",
                        "/rest_auth",
                        "x",
                    ],
                ),
            ),
            optional("AUTH_TIMEOUT_MS", POSITIVE_MILLIS),
        ];
        storm::settings::storm("settings of qrcode", KNOWN, |environment| {
            service_kit::testing::read_settings::<crate::app::App>(&|name| {
                environment.get(name).cloned()
            })
        });
    }
}
