//! Where the one table is: the address, password and TLS settings that the twitter service and
//! the ETL share, turned into sqlx's connect options.
//!
//! ```
//! use database_address::{Address, Options};
//!
//! let address = Address::parse("sqlite://target/sample.db", None, None)?;
//! assert!(matches!(address.options()?, Options::Sqlite(_)));
//! # Ok::<(), database_address::AddressError>(())
//! ```

mod sqlite;

use std::fmt;
use std::io;
use std::path::PathBuf;

use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::sqlite::SqliteConnectOptions;

pub use crate::sqlite::read_only;

/// Longest password file that is read, in bytes.
const MAX_PASSWORD_BYTES: usize = 4096;

/// The address of the database that holds the table.
///
/// `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?ssl-mode=…]` or `sqlite://PATH`. The password
/// may come from a file instead, which is read again for every connection, so that a rotated one
/// is taken up without a restart. With a CA bundle the server's certificate is verified
/// (`VERIFY_CA`; `ssl-mode=VERIFY_IDENTITY` in the address also checks its host name).
#[derive(Clone)]
pub struct Address {
    kind: Kind,
    password_file: Option<PathBuf>,
}

#[derive(Clone)]
enum Kind {
    MySql(Box<MySqlConnectOptions>),
    Sqlite(PathBuf),
}

/// How to connect, ready for sqlx.
#[derive(Clone, Debug)]
pub enum Options {
    /// MySQL or MariaDB.
    MySql(Box<MySqlConnectOptions>),
    /// The embedded database; whether to create the file or only read it is up to the caller.
    Sqlite(Box<SqliteConnectOptions>),
}

/// Why an address is not one.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Neither of the two schemes.
    #[error("expected mysql://USER@HOST:PORT/DATABASE or sqlite://PATH")]
    Scheme,
    /// An address of MySQL that sqlx does not take. The text shows no part of the address.
    #[error("not a MySQL address: {0}")]
    MySql(String),
    /// The address names no database.
    #[error("the address names no database: expected mysql://USER@HOST:PORT/DATABASE")]
    NoDatabase,
    /// Several hosts where one is wanted.
    #[error("the address names several hosts: a load goes to one, the writer")]
    SeveralHosts,
    /// A list of hosts with nothing between two commas.
    #[error("the list of hosts has an empty place: expected HOST:PORT,HOST:PORT")]
    NoHost,
    /// No path behind `sqlite://`.
    #[error("the address names no file: expected sqlite://PATH")]
    NoPath,
    /// Parameters behind a path, which would become part of the file's name.
    #[error("sqlite:// takes a path and no parameters")]
    Query,
    /// A CA bundle and an address that turns TLS off.
    #[error("a CA bundle is given, but the address says ssl-mode={0}")]
    TlsOff(&'static str),
    /// The password file cannot be read.
    #[error("cannot read the password file {path}: {source}")]
    PasswordFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Address {
    /// Parses an address. Nothing is read or connected to.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the text never holds the password.
    pub fn parse(
        url: &str,
        password_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, AddressError> {
        let kind = match url.split_once("://") {
            Some(("sqlite", path)) if path.contains('?') => return Err(AddressError::Query),
            Some(("sqlite", "")) => return Err(AddressError::NoPath),
            Some(("sqlite", path)) => Kind::Sqlite(PathBuf::from(path)),
            Some(("mysql" | "mariadb", rest)) if hosts(rest).1.contains(',') => {
                return Err(AddressError::SeveralHosts);
            }
            Some(("mysql" | "mariadb", _)) => Kind::MySql(Box::new(mysql(url, ca_file)?)),
            _ => return Err(AddressError::Scheme),
        };
        Ok(Self {
            kind,
            password_file,
        })
    }

    /// Parses an address that may name several hosts with the same table, separated by commas, such
    /// as a reader and the writer behind it: one address for each, in their order.
    ///
    /// # Errors
    ///
    /// What is wrong with any of them; the text never holds the password.
    pub fn parse_list(
        url: &str,
        password_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    ) -> Result<Vec<Self>, AddressError> {
        let Some((scheme @ ("mysql" | "mariadb"), rest)) = url.split_once("://") else {
            return Ok(vec![Self::parse(url, password_file, ca_file)?]);
        };
        let (before, list, after) = hosts(rest);
        let one = |host: &str| {
            if host.is_empty() && list.contains(',') {
                return Err(AddressError::NoHost);
            }
            let url = format!("{scheme}://{before}{host}{after}");
            Self::parse(&url, password_file.clone(), ca_file.clone())
        };
        list.split(',').map(one).collect()
    }

    /// The file of an embedded database.
    pub fn sqlite_path(&self) -> Option<&std::path::Path> {
        match &self.kind {
            Kind::Sqlite(path) => Some(path),
            Kind::MySql(_) => None,
        }
    }

    /// What to connect with, the password file read anew.
    ///
    /// # Errors
    ///
    /// When the password file cannot be read.
    pub fn options(&self) -> Result<Options, AddressError> {
        match &self.kind {
            Kind::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path);
                Ok(Options::Sqlite(Box::new(
                    options.disable_statement_logging(),
                )))
            }
            Kind::MySql(options) => {
                let mut options = options.clone();
                if let Some(path) = &self.password_file {
                    let password = read_password(path)?;
                    // An empty password is sent as none; its digest would be refused.
                    if !password.is_empty() {
                        *options = options.password(&password);
                    }
                }
                Ok(Options::MySql(options))
            }
        }
    }
}

impl fmt::Debug for Address {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Address {
    /// For messages: no user, no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Kind::MySql(options) => write!(
                f,
                "mysql://{}:{}/{}",
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_default()
            ),
        }
    }
}

fn mysql(url: &str, ca_file: Option<PathBuf>) -> Result<MySqlConnectOptions, AddressError> {
    let url = url.replacen("mariadb://", "mysql://", 1);
    let mut options: MySqlConnectOptions = url
        .parse()
        .map_err(|error: sqlx::Error| AddressError::MySql(unquoted(&error.to_string())))?;
    // An `@` in it is the rest of a password with an unescaped `/`.
    let is_name = |name: &str| !name.is_empty() && !name.contains('@');
    if !options.get_database().is_some_and(is_name) {
        return Err(AddressError::NoDatabase);
    }
    if let Some(ca_file) = ca_file {
        let mode = options.get_ssl_mode();
        options = options.ssl_ca(ca_file);
        match mode {
            MySqlSslMode::Disabled => return Err(AddressError::TlsOff("DISABLED")),
            MySqlSslMode::Preferred | MySqlSslMode::Required => {
                options = options.ssl_mode(MySqlSslMode::VerifyCa);
            }
            MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity => {}
        }
    }
    // No statement of ours depends on the session, so none is sent at connect: fewer round trips,
    // and connections that a proxy can share.
    Ok(options
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false)
        .disable_statement_logging())
}

/// A text without what it quotes, which is a part of the address and may hold the password.
fn unquoted(text: &str) -> String {
    match (text.split_once('"'), text.rsplit_once('"')) {
        (Some((before, _)), Some((_, behind))) => format!("{before}…{behind}"),
        _ => text.to_owned(),
    }
}

/// What follows `mysql://`, taken apart: user and password with their `@`, hosts, the rest from the
/// first `/`.
fn hosts(rest: &str) -> (&str, &str, &str) {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let start = authority.rfind('@').map_or(0, |at| at + 1);
    let (before, hosts) = authority.split_at(start);
    (before, hosts, after)
}

/// The first line of the file.
fn read_password(path: &std::path::Path) -> Result<String, AddressError> {
    let failed = |source| AddressError::PasswordFile {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    if text.len() > MAX_PASSWORD_BYTES {
        return Err(failed(io::Error::other("it is too long for a password")));
    }
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, AddressError> {
        Address::parse(url, None, None)
    }

    fn ssl_mode(url: &str, ca: Option<&str>) -> String {
        let address = Address::parse(url, None, ca.map(PathBuf::from)).unwrap();
        match address.options().unwrap() {
            Options::MySql(options) => format!("{:?}", options.get_ssl_mode()),
            Options::Sqlite(_) => panic!("not MySQL"),
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_address() {
        for url in [
            "mysql://app@db/t?ssl-mode=mysql://app:hunter2@db/t",
            "mysql://app:hunter2@db:port/t",
            "mysql://app:hunter2@db/t?ssl-mode=\"hunter2\"",
        ] {
            let told = parse(url).expect_err(url).to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        assert!(matches!(parse("postgres://x/y"), Err(AddressError::Scheme)));
        assert!(matches!(parse("target/x.db"), Err(AddressError::Scheme)));
        assert!(matches!(parse("sqlite://"), Err(AddressError::NoPath)));
        assert!(matches!(
            parse("sqlite://x?mode=rwc"),
            Err(AddressError::Query)
        ));
        assert!(matches!(
            parse("mysql://u:12/34@h/d"),
            Err(AddressError::NoDatabase)
        ));
        assert!(matches!(
            parse("mysql://u@h:3306"),
            Err(AddressError::NoDatabase)
        ));
        assert!(matches!(
            parse("mysql://u@h:x/d"),
            Err(AddressError::MySql(_))
        ));
    }

    #[test]
    fn never_shows_a_password() {
        let address = parse("mysql://app:s3cret@db:3307/tripod").unwrap();
        assert_eq!(address.to_string(), "mysql://db:3307/tripod");
        assert_eq!(format!("{address:?}"), "mysql://db:3307/tripod");
        let error = parse("mysql://app:s3cret@db:port/tripod").unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }

    #[test]
    fn a_list_of_hosts_is_one_address_each() {
        let list = |url: &str| -> Result<Vec<String>, AddressError> {
            let addresses = Address::parse_list(url, None, None)?;
            Ok(addresses.iter().map(ToString::to_string).collect())
        };
        assert_eq!(
            list("mysql://a:p,w@reader:3306,writer:3307/tripod?ssl-mode=REQUIRED").unwrap(),
            ["mysql://reader:3306/tripod", "mysql://writer:3307/tripod"]
        );
        assert_eq!(list("mysql://u@h/d").unwrap(), ["mysql://h:3306/d"]);
        assert_eq!(list("sqlite://a,b.db").unwrap(), ["sqlite://a,b.db"]);
        assert!(matches!(
            list("mysql://u@a,,b/d"),
            Err(AddressError::NoHost)
        ));
        let wrong = list("mysql://u:s3cret@a:1,b:x/d").unwrap_err();
        assert!(!wrong.to_string().contains("s3cret"));
        assert!(matches!(
            parse("mysql://u@a,b/d"),
            Err(AddressError::SeveralHosts)
        ));
    }

    #[test]
    fn a_ca_bundle_turns_verification_on() {
        let url = "mysql://u@h/d";
        assert_eq!(ssl_mode(url, None), "Preferred");
        assert_eq!(ssl_mode(url, Some("ca.pem")), "VerifyCa");
        let strict = "mysql://u@h/d?ssl-mode=VERIFY_IDENTITY";
        assert_eq!(ssl_mode(strict, Some("ca.pem")), "VerifyIdentity");
        let off = Address::parse(
            "mysql://u@h/d?ssl-mode=DISABLED",
            None,
            Some("ca.pem".into()),
        );
        assert!(matches!(off, Err(AddressError::TlsOff(_))));
    }

    #[test]
    fn a_missing_password_file_is_named() {
        let path = PathBuf::from("no/such/file");
        let address = Address::parse("mysql://u@h/d", Some(path), None).unwrap();
        let error = address.options().unwrap_err().to_string();
        assert!(error.starts_with("cannot read the password file no/such/file: "));
    }
}
