//! MySQL and MariaDB.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use database_address::{Address, Options};
use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError};
use sqlx::query::Query;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{Driver, Found, Meaning, StoreError, Wanted, gather, options};

/// More than the statements there are: an eviction would send a command without a reply, which
/// this version of sqlx follows with a stall of 40 ms (it does not set TCP_NODELAY).
const STATEMENTS: usize = 32;

/// The server's number for a table that does not exist.
const NO_SUCH_TABLE: u16 = 1146;

/// The servers' numbers for a connection that somebody has ended or that idled for too long: of
/// MariaDB, then of MySQL. That the server is being stopped and other ends are of class 08 of the
/// standard's states.
const ENDS: [u16; 3] = [1927, 3169, 4031];

/// How long a host that refused or did not answer comes last, when there are others.
const AVOIDED: Duration = Duration::from_secs(5);

/// Hosts with the same table, in the order of preference. Their names are resolved anew at every
/// connect, so that a failover that moves a name is followed.
#[derive(Debug)]
pub(crate) struct MySql {
    hosts: Vec<Host>,
    /// How long one host may take to connect.
    patience: Duration,
}

#[derive(Debug)]
struct Host {
    address: Address,
    failed: Mutex<Option<Instant>>,
}

impl MySql {
    /// `connect` is the time for connecting, shared out among the hosts.
    pub(crate) fn new(addresses: &[Address], connect: Duration) -> Self {
        let hosts: Vec<Host> = addresses
            .iter()
            .map(|address| Host {
                address: address.clone(),
                failed: Mutex::default(),
            })
            .collect();
        let count = u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        Self {
            hosts,
            patience: connect / count,
        }
    }

    /// Those that did not fail just now, then the others.
    fn in_order(&self) -> impl Iterator<Item = &Host> {
        let failed: Vec<bool> = self.hosts.iter().map(Host::failed_just_now).collect();
        let some = move |wanted: bool| {
            let hosts = self.hosts.iter().zip(failed.clone());
            hosts.filter_map(move |(host, failed)| (failed == wanted).then_some(host))
        };
        some(false).chain(some(true))
    }
}

impl Host {
    fn failed_just_now(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|failed| failed.elapsed() < AVOIDED)
    }

    async fn connect(&self, patience: Duration) -> Result<MySqlConnection, StoreError> {
        let Options::MySql(options) = options(&self.address)? else {
            return Err(StoreError::Failed("not an address of MySQL".into()));
        };
        let options = options.statement_cache_capacity(STATEMENTS);
        let mut attempt = Attempt {
            host: self,
            has_failed: true,
        };
        let connected = match tokio::time::timeout(patience, options.connect()).await {
            Ok(connected) => connected.map_err(|error| error_of(&self.address, &error)),
            Err(_) => Err(StoreError::Timeout),
        };
        attempt.has_failed = connected.is_err();
        connected
    }
}

/// Notes at its end how connecting went. Given up by the caller, it went badly: the next one should
/// not begin with the host that has just used the time up.
struct Attempt<'a> {
    host: &'a Host,
    has_failed: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let failed = self.has_failed.then(Instant::now);
        let noted = self.host.failed.lock();
        *noted.unwrap_or_else(PoisonError::into_inner) = failed;
    }
}

fn error_of(address: &Address, error: &sqlx::Error) -> StoreError {
    StoreError::of_sqlx(address, error, meaning)
}

fn meaning(error: &dyn DatabaseError) -> Meaning {
    let number = error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number);
    if number == Some(NO_SUCH_TABLE) {
        Meaning::NoTable
    } else if number.is_some_and(|number| ENDS.contains(&number))
        || error.code().is_some_and(|state| state.starts_with("08"))
    {
        Meaning::Ends
    } else {
        Meaning::Other
    }
}

/// A connection that knows whose it is, for messages.
#[derive(Debug)]
pub(crate) struct Connection {
    connection: MySqlConnection,
    address: Address,
}

impl Driver for MySql {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection, StoreError> {
        let mut last = StoreError::NoConnection("no address".into());
        for host in self.in_order() {
            match host.connect(self.patience).await {
                Ok(connection) => {
                    let address = host.address.clone();
                    return Ok(Connection {
                        connection,
                        address,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ping(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let pinged = connection.connection.ping().await;
        pinged.map_err(|error| error_of(&connection.address, &error))
    }

    async fn rows(
        &self,
        connection: &mut Connection,
        wanted: Wanted<'_>,
    ) -> Result<Found, StoreError> {
        let (text, keys) = wanted.statement();
        let query = keys.fold(sqlx::query(text), Query::bind);
        let found = gather(query.fetch(&mut connection.connection), |row| {
            Ok(match wanted {
                Wanted::FirstParts(_) => (row.try_get(0)?, 0, row.try_get(1)?),
                Wanted::All(_) => (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?),
            })
        });
        let found = found.await;
        found.map_err(|error| error_of(&connection.address, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_that_used_the_callers_time_up_comes_last() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = silent.local_addr().unwrap();
        let url = format!("mysql://u@{silent},writer:2/d");
        let addresses = Address::parse_list(&url, None, None).unwrap();
        let driver = MySql::new(&addresses, Duration::from_mins(1));
        let given_up = tokio::time::timeout(Duration::from_millis(1), driver.connect());
        assert!(given_up.await.is_err());
        let last = driver
            .in_order()
            .last()
            .map(|host| host.address.to_string());
        assert_eq!(last, Some(format!("mysql://{silent}/d")));
    }

    #[test]
    fn a_host_that_failed_comes_last_for_a_while() {
        let url = "mysql://u@reader:1,writer:2,third:3/d";
        let addresses = Address::parse_list(url, None, None).unwrap();
        let driver = MySql::new(&addresses, Duration::from_secs(3));
        assert_eq!(driver.patience, Duration::from_secs(1));
        let order = || -> Vec<String> {
            let hosts = driver.in_order();
            hosts.map(|host| host.address.to_string()).collect()
        };
        let [reader, writer, third] = ["reader:1", "writer:2", "third:3"];
        let shown = |host: &str| format!("mysql://{host}/d");
        assert_eq!(order(), [reader, writer, third].map(shown));
        *driver.hosts[0].failed.lock().unwrap() = Some(Instant::now());
        assert_eq!(order(), [writer, third, reader].map(shown));
        *driver.hosts[0].failed.lock().unwrap() = Instant::now().checked_sub(AVOIDED);
        assert_eq!(order(), [reader, writer, third].map(shown));
    }
}
