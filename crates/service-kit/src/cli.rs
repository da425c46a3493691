//! The command line that every service understands.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::config::{Flags, Setting};

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    CheckConfig,
    PrintConfig,
    Help,
    Version,
    Healthcheck { path: &'static str },
}

/// The words after the program's name, understood as far as possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) command: Command,
    pub(crate) flags: Flags,
    /// One line for each word that is not understood.
    pub(crate) mistakes: Vec<String>,
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = String>, settings: &[&Setting]) -> CommandLine {
    let mut line = CommandLine {
        command: Command::Run,
        flags: Flags::new(),
        mistakes: Vec::new(),
    };
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        line.command = match (word.as_str(), line.command) {
            ("--check-config", _) => Command::CheckConfig,
            ("--print-config", _) => Command::PrintConfig,
            ("--help" | "-h", _) => Command::Help,
            ("--version" | "-V", _) => Command::Version,
            ("healthcheck", _) => Command::Healthcheck { path: "/readyz" },
            ("--live", Command::Healthcheck { .. }) => Command::Healthcheck { path: "/livez" },
            (flag, command) => {
                // A value that begins like a flag is most likely a forgotten one.
                let mut next = || words.next_if(|word| !word.starts_with("--"));
                match setting(flag, &mut next, settings) {
                    Ok((name, value)) => drop(line.flags.insert(name, value)),
                    Err(mistake) => line.mistakes.push(mistake),
                }
                command
            }
        };
    }
    line
}

/// The setting that a flag names, with its value behind `=` or in the next word.
fn setting(
    word: &str,
    next: &mut dyn FnMut() -> Option<String>,
    settings: &[&Setting],
) -> Result<(&'static str, String), String> {
    let (flag, inline) = match word.split_once('=') {
        Some((flag, value)) => (flag, Some(value.to_owned())),
        None => (word, None),
    };
    let setting = settings
        .iter()
        .find(|setting| setting.flag() == flag)
        .ok_or_else(|| format!("{flag} is not an option; --help lists them all"))?;
    let value = inline.or_else(next);
    let value = value.ok_or_else(|| format!("{flag} needs a value: {}", setting.help))?;
    Ok((setting.name, value))
}

/// The text of `--help`.
pub(crate) fn help(program: &str, about: &str, settings: &[&Setting]) -> String {
    let mut text = format!(
        "{about}\n\n\
         Usage: {program} [OPTIONS]\n       {program} healthcheck [--live] [OPTIONS]\n\n\
         Commands:\n  healthcheck      ask the running service's admin port: exit 0 when ready (--live: alive)\n\n\
         Options:\n  --check-config   read the settings, list every mistake, exit 0 or 64\n  \
         --print-config   print the settings in force, passwords masked\n  \
         --help           print this\n  --version        print the version\n\n\
         Settings (each is an environment variable and a flag; the flag wins):\n"
    );
    for setting in settings {
        let _ = write!(
            text,
            "  {} ({})\n      {}",
            setting.name,
            setting.flag(),
            setting.help
        );
        let _ = match setting.default {
            Some(default) => writeln!(text, " [default: {default}]"),
            None if setting.required => writeln!(text, " [required]"),
            None => writeln!(text),
        };
    }
    text
}

/// Asks a running service's admin port; for exec probes in images without a shell.
///
/// # Errors
///
/// What went wrong, in one line: no connection, no answer in time, or another status than 200.
pub(crate) fn healthcheck(admin_addr: SocketAddr, path: &str) -> Result<(), String> {
    let timeout = Duration::from_secs(2);
    let target = reachable(admin_addr);
    if target.port() == 0 {
        return Err("ADMIN_ADDR has port 0: name the port that the service listens on".to_owned());
    }
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&target, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut reply = Vec::new();
        stream.take(4096).read_to_end(&mut reply)?;
        Ok(reply)
    };
    let reply = ask().map_err(|error| format!("http://{target}{path}: {error}"))?;
    if reply.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&reply);
    let status = text.lines().next().unwrap_or("no answer");
    let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
    Err(format!("http://{target}{path}: {status}: {body}"))
}

/// The address to connect to for one that is listened on: loopback for "any".
fn reachable(listened: SocketAddr) -> SocketAddr {
    let ip = match listened.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listened.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAM: Setting = Setting::required("TEAM_ID", "team");
    const SETTINGS: &[&Setting] = &[&TEAM];

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn takes_a_flag_with_its_value_behind_it_or_behind_an_equals_sign() {
        for line in ["--team-id red", "--team-id=red"] {
            let line = parse(words(line), SETTINGS);
            assert_eq!(line.command, Command::Run);
            assert_eq!(line.mistakes, [""; 0]);
            assert_eq!(line.flags.get("TEAM_ID").map(String::as_str), Some("red"));
        }
    }

    #[test]
    fn names_every_word_it_does_not_understand() {
        let line = parse(
            words("--colour red --team-id --team-id=blue --live"),
            SETTINGS,
        );
        assert_eq!(line.mistakes.len(), 4, "{:?}", line.mistakes);
        assert_eq!(line.flags.get("TEAM_ID").map(String::as_str), Some("blue"));
    }

    #[test]
    fn a_healthcheck_of_any_address_asks_loopback() {
        assert_eq!(
            reachable("0.0.0.0:9090".parse().unwrap()),
            "127.0.0.1:9090".parse().unwrap()
        );
        assert_eq!(
            reachable("[::]:9090".parse().unwrap()),
            "[::1]:9090".parse().unwrap()
        );
    }
}
