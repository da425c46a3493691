//! Where requests go.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How long each address of a name may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// A server, as `http://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What stands in the `Host` field.
    pub authority: String,
}

impl Target {
    /// Finds the address; unless `remote` is allowed, every one must be on this machine. Of several the
    /// first that takes a connection, and the first of all when none does: a name may have one of each
    /// family, and the target listen on one of them.
    ///
    /// # Errors
    ///
    /// When there is no such host or it is not allowed.
    pub fn resolve(&self, remote: bool) -> Result<SocketAddr> {
        let name = &self.authority;
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let with_port = match name.rsplit_once(':') {
            Some((_, port)) if is_port(port) => name.clone(),
            _ => format!("{name}:80"),
        };
        let found = with_port.to_socket_addrs();
        let found: Vec<_> = found.with_context(|| format!("no host {name}"))?.collect();
        if let Some(other) = found.iter().find(|address| !address.ip().is_loopback())
            && !remote
        {
            bail!(
                "{} is not on this machine; --allow-remote permits it, if it is yours",
                other.ip()
            );
        }
        let accepts =
            |address: &&SocketAddr| TcpStream::connect_timeout(address, CONNECT_LIMIT).is_ok();
        let accepting = match found.as_slice() {
            [] | [_] => None,
            several => several.iter().find(accepts),
        };
        accepting
            .or(found.first())
            .copied()
            .with_context(|| format!("no address for {name}"))
    }
}

impl Target {
    /// Another port of the same machine.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        let name = &self.authority;
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let host = match name.rsplit_once(':') {
            Some((host, old)) if is_port(old) => host,
            _ => name,
        };
        Self {
            authority: format!("{host}:{port}"),
        }
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some(rest) = text.strip_prefix("http://") else {
            bail!("a target begins with http://");
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(is_legal) {
            bail!("a target is http://HOST[:PORT], without a path");
        }
        Ok(Self {
            authority: authority.to_owned(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs as _;

    use super::Target;

    #[test]
    fn ports_can_be_replaced() {
        let at = |url: &str| url.parse::<Target>().unwrap().with_port(9).to_string();
        assert_eq!(at("http://a:80"), "http://a:9");
        assert_eq!(at("http://a"), "http://a:9");
        assert_eq!(at("http://[::1]:80"), "http://[::1]:9");
    }

    #[test]
    fn of_several_addresses_one_that_accepts_is_taken() {
        // Most machines know `localhost` in both families, in either order.
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(listen) else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            let name = format!("localhost:{}", address.port());
            if name
                .to_socket_addrs()
                .unwrap()
                .all(|known| known != address)
            {
                continue;
            }
            let target: Target = format!("http://{name}").parse().unwrap();
            assert_eq!(target.resolve(false).unwrap(), address);
        }
    }

    #[test]
    fn only_this_machine_is_a_target_unless_others_are_allowed() {
        let resolve = |url: &str, remote| url.parse::<Target>().unwrap().resolve(remote);
        let address = resolve("http://127.0.0.1:8080/", false).unwrap();
        assert_eq!(address.to_string(), "127.0.0.1:8080");
        assert_eq!(resolve("http://[::1]", false).unwrap().port(), 80);
        let error = resolve("http://192.0.2.1:80", false).unwrap_err();
        assert!(error.to_string().contains("--allow-remote"), "{error}");
        assert!(resolve("http://192.0.2.1:80", true).is_ok());
        for url in [
            "127.0.0.1:80",
            "https://localhost",
            "http://",
            "http://a/b",
            "http://a b",
        ] {
            assert!(url.parse::<Target>().is_err(), "{url}");
        }
    }
}
