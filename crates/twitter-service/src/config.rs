//! Settings of this service beside the common ones.

use std::path::PathBuf;
use std::time::Duration;

use database_address::Address;
use service_kit::config::{self, Reader, Setting};

use crate::cache::Times;
use crate::store::MAX_KEYS;

const DATABASE_URL: Setting = Setting::required(
    "DATABASE_URL",
    "mysql://USER[:PASSWORD]@HOST:PORT[,HOST:PORT…]/DATABASE[?ssl-mode=…] or sqlite://PATH; of several hosts, such as a reader and the writer, the first that answers is asked.",
)
.url_with_password();
const DATABASE_PASSWORD_FILE: Setting = Setting::optional(
    "DATABASE_PASSWORD_FILE",
    "File with the password in its first line, read again for every connection.",
);
const DATABASE_CA_FILE: Setting = Setting::optional(
    "DATABASE_CA_FILE",
    "PEM file of certificate authorities; with it the database's certificate is verified.",
);
const DATABASE_CONNECTIONS: Setting = Setting::with_default(
    "DATABASE_CONNECTIONS",
    "16",
    "Connections to the database, shared out among the workers, at least one each; one more watches the table.",
);
const DATABASE_KEYS_PER_QUERY: Setting = Setting::with_default(
    "DATABASE_KEYS_PER_QUERY",
    "32",
    "Look-ups that may share a query when they wait at the same time, 1 to 32; 1 asks for each alone.",
);
const DATABASE_WAIT_MS: Setting = Setting::with_default(
    "DATABASE_WAIT_MS",
    "500",
    "How long a request may wait for a connection before it is answered 503. Milliseconds.",
);
const DATABASE_CONNECT_MS: Setting = Setting::with_default(
    "DATABASE_CONNECT_MS",
    "2000",
    "How long opening a connection may take. Milliseconds.",
);
const DATABASE_QUERY_MS: Setting = Setting::with_default(
    "DATABASE_QUERY_MS",
    "1000",
    "How long a query may take before it is given up with its connection. Milliseconds.",
);
const CACHE_MB: Setting = Setting::with_default(
    "CACHE_MB",
    "256",
    "Size of the cache of users' packs in all, in MiB; 0 turns it off.",
);
const CACHE_TTL_MS: Setting = Setting::with_default(
    "CACHE_TTL_MS",
    "60000",
    "How long a cached pack may be used; a new load of the table is noticed earlier. Milliseconds.",
);

const CACHE_STALE_MS: Setting = Setting::with_default(
    "CACHE_STALE_MS",
    "3600000",
    "How much longer a cached pack may be shown, marked by Cache-Status, while the database does not answer; 0 turns it off. Milliseconds.",
);

/// All of them.
pub(crate) const SETTINGS: &[&Setting] = &[
    &DATABASE_URL,
    &DATABASE_PASSWORD_FILE,
    &DATABASE_CA_FILE,
    &DATABASE_CONNECTIONS,
    &DATABASE_KEYS_PER_QUERY,
    &DATABASE_WAIT_MS,
    &DATABASE_CONNECT_MS,
    &DATABASE_QUERY_MS,
    &CACHE_MB,
    &CACHE_TTL_MS,
    &CACHE_STALE_MS,
];

/// The settings, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// One, or several in the order of preference.
    pub(crate) addresses: Vec<Address>,
    pub(crate) connections: usize,
    pub(crate) keys_per_query: usize,
    pub(crate) deadlines: Deadlines,
    pub(crate) cache_bytes: u64,
    pub(crate) cache_times: Times,
}

/// How long the database may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// For a free connection.
    pub(crate) wait: Duration,
    /// For opening one.
    pub(crate) connect: Duration,
    /// For one query.
    pub(crate) query: Duration,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let password_file = reader.optional(&DATABASE_PASSWORD_FILE, path);
        let ca_file = reader.optional(&DATABASE_CA_FILE, path);
        let files = password_file.clone().zip(ca_file);
        let addresses = reader.value(&DATABASE_URL, |url| {
            let (password_file, ca_file) = files.unwrap_or_default();
            let parsed = Address::parse_list(url, password_file, ca_file);
            parsed.map_err(|error| error.to_string())
        });
        let connections = reader.value(&DATABASE_CONNECTIONS, config::number(1..=10_000));
        let keys = reader.value(&DATABASE_KEYS_PER_QUERY, config::number(1..=MAX_KEYS));
        let wait = reader.value(&DATABASE_WAIT_MS, config::positive_millis);
        let connect = reader.value(&DATABASE_CONNECT_MS, config::positive_millis);
        let query = reader.value(&DATABASE_QUERY_MS, config::positive_millis);
        let cache_mb = reader.value(&CACHE_MB, config::number(0..=1 << 20));
        let cache_ttl = reader.value(&CACHE_TTL_MS, config::millis);
        let cache_stale = reader.value(&CACHE_STALE_MS, config::millis);
        Some(Self {
            addresses: addresses?,
            connections: connections?,
            keys_per_query: keys?,
            deadlines: Deadlines {
                wait: wait?,
                connect: connect?,
                query: query?,
            },
            cache_bytes: (cache_mb? as u64) << 20,
            cache_times: Times {
                fresh: cache_ttl?,
                stale: cache_stale?,
                patience: wait?,
            },
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a parser")]
fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_them() {
        let table = service_kit::config::markdown_table(SETTINGS);
        assert!(
            include_str!("../../../README.md").contains(&table),
            "{table}"
        );
    }

    #[test]
    fn a_storm_of_environments_gives_settings_or_says_what_is_wrong() {
        use storm::settings::{Known, MILLIS, POSITIVE_MILLIS, Rule, optional, required};
        const KNOWN: &[Known] = &[
            required(
                "DATABASE_URL",
                Rule::Of(
                    &[
                        "sqlite:///data/tripod.db",
                        "mysql://app:hunter2@db:3306/tripod",
                        "mysql://app@db/tripod",
                        "mysql://app:hunter2@a:1,b:2/tripod?ssl-mode=REQUIRED",
                        "mariadb://app:p%40hunter2@[::1]:3306/tripod",
                    ],
                    &[
                        "postgres://app:hunter2@db/tripod",
                        "mysql://app:hunter2@db:3306",
                        "mysql://app:hunter2@db:3306/",
                        "mysql://app:hunter2@db:port/tripod",
                        "mysql://app:hunter2@a:1,,b:2/tripod",
                        "mysql:/app:hunter2@db/tripod",
                        "mysql://app:hunter2@db/tripod?ssl-mode=maybe",
                        "sqlite://",
                        "sqlite://a.db?mode=rw",
                        "db",
                    ],
                ),
            ),
            optional("DATABASE_PASSWORD_FILE", Rule::Anything),
            optional("DATABASE_CA_FILE", Rule::Anything),
            optional("DATABASE_CONNECTIONS", Rule::Number(1, 10_000)),
            optional("DATABASE_KEYS_PER_QUERY", Rule::Number(1, 32)),
            optional("DATABASE_WAIT_MS", POSITIVE_MILLIS),
            optional("DATABASE_CONNECT_MS", POSITIVE_MILLIS),
            optional("DATABASE_QUERY_MS", POSITIVE_MILLIS),
            optional("CACHE_MB", Rule::Number(0, 1 << 20)),
            optional("CACHE_TTL_MS", MILLIS),
            optional("CACHE_STALE_MS", MILLIS),
        ];
        storm::settings::storm("settings of twitter", KNOWN, |environment| {
            service_kit::testing::read_settings::<crate::app::App>(&|name| {
                environment.get(name).cloned()
            })
        });
    }
}
