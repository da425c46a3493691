//! Settings from the environment and from flags, with one listing of every mistake.
//!
//! A [`Setting`] names one variable; the flag of the same name (`LISTEN_ADDR` is `--listen-addr`)
//! wins over it. A [`Reader`] looks settings up through a source that the caller passes in, so
//! configuration is tested without touching the process environment, and collects mistakes
//! instead of stopping at the first. An empty value counts as not set, because templates of
//! deployment tools often leave one behind.

mod parse;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

pub use parse::{millis, number, positive_millis, reply_word, socket_addr};

/// What may be shown of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Public,
    /// All but the password part of a URL.
    UrlPassword,
}

/// One setting: its variable, its default and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable, upper case with underscores.
    pub name: &'static str,
    /// The value when nothing is set; `None` when there is no default.
    pub default: Option<&'static str>,
    /// Whether the program refuses to start without it.
    pub required: bool,
    /// One sentence for people: meaning and unit.
    pub help: &'static str,
    /// What `--print-config` may show.
    pub secrecy: Secrecy,
}

impl Setting {
    /// A setting without which the program refuses to start.
    pub const fn required(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: None,
            required: true,
            help,
            secrecy: Secrecy::Public,
        }
    }

    /// A setting that may be absent.
    pub const fn optional(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: None,
            required: false,
            help,
            secrecy: Secrecy::Public,
        }
    }

    /// A setting with a default.
    pub const fn with_default(
        name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            default: Some(default),
            required: false,
            help,
            secrecy: Secrecy::Public,
        }
    }

    /// The same setting, a URL whose password is never shown.
    #[must_use]
    pub const fn url_with_password(mut self) -> Self {
        self.secrecy = Secrecy::UrlPassword;
        self
    }

    /// The flag of the same name, such as `--listen-addr`.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.to_ascii_lowercase().replace('_', "-"))
    }

    fn shown(&self, value: &str) -> String {
        match self.secrecy {
            Secrecy::Public => value.to_owned(),
            Secrecy::UrlPassword => mask_url_password(value),
        }
    }
}

/// Replaces the password of `scheme://user:password@host/…` by `***`.
///
/// Anything between the first `:` of the authority and its last `@` counts as password, so a
/// password with an unescaped `@` is masked whole.
///
/// ```
/// assert_eq!(
///     service_kit::config::mask_url_password("mysql://app:s3cret@db:3306/tripod"),
///     "mysql://app:***@db:3306/tripod"
/// );
/// ```
pub fn mask_url_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Not a URL, but perhaps meant as one.
        return match url.rsplit_once('@') {
            Some((_, host)) => format!("***@{host}"),
            None => url.to_owned(),
        };
    };
    // The last `@` of the whole text: a raw `/` or `?` in a password must not uncover its tail.
    let Some((user_info, host)) = rest.rsplit_once('@') else {
        return url.to_owned();
    };
    match user_info.split_once(':') {
        Some((user, _password)) => format!("{scheme}://{user}:***@{host}"),
        None => url.to_owned(),
    }
}

/// Characters of a wrong value that a message shows.
const QUOTED: usize = 100;

/// A wrong value for a message: on one line, and not too much of it.
fn quoted(value: &str) -> String {
    let mut text = String::new();
    for letter in value.chars().take(QUOTED) {
        if letter.is_control() {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    if value.chars().nth(QUOTED).is_some() {
        text.push('…');
    }
    text
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Flag,
    Environment,
    Default,
    Unset,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Default => "default",
            Self::Unset => "not set",
        })
    }
}

/// Every mistake found in the settings, for a person to mend in one go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// One line for each mistake.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "{count} {noun} in the settings:")?;
        for line in &self.0 {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Flags as the command line gave them, by the setting's name.
pub type Flags = BTreeMap<&'static str, String>;

/// Looks settings up and collects every mistake.
pub struct Reader<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    flags: &'a Flags,
    mistakes: Vec<String>,
    effective: Vec<(&'static str, String, Source)>,
}

impl<'a> Reader<'a> {
    /// A reader over one source of variables and the flags that win over it.
    pub fn new(environment: &'a dyn Fn(&str) -> Option<String>, flags: &'a Flags) -> Self {
        Self {
            environment,
            flags,
            mistakes: Vec::new(),
            effective: Vec::new(),
        }
    }

    /// The value of a required setting, or of one with a default.
    ///
    /// `None` means that a mistake was noted; [`Self::finish`] will say so.
    pub fn value<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.optional(setting, parse)?;
        if value.is_none() {
            self.mistakes.push(format!(
                "{} ({}) is required and not set: {}",
                setting.name,
                setting.flag(),
                setting.help
            ));
        }
        value
    }

    /// The value of a setting that may be absent.
    ///
    /// The outer `None` means that a mistake was noted, the inner one that nothing is set.
    pub fn optional<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let (text, source) = self.look_up(setting);
        let shown = text.as_deref().map(|text| setting.shown(text));
        self.effective
            .push((setting.name, shown.clone().unwrap_or_default(), source));
        let Some(text) = text else {
            return Some(None);
        };
        match parse(&text) {
            Ok(value) => Some(Some(value)),
            Err(why) => {
                self.mistakes.push(format!(
                    "{} ({}) is \"{}\" (from {source}): {why}",
                    setting.name,
                    setting.flag(),
                    quoted(&shown.unwrap_or_default())
                ));
                None
            }
        }
    }

    /// Notes a mistake that lies between settings, such as one that needs another.
    pub fn mistake(&mut self, line: String) {
        self.mistakes.push(line);
    }

    /// Whether everything read so far was right.
    ///
    /// # Errors
    ///
    /// All mistakes noted, in the order of reading.
    pub fn finish(self) -> Result<Effective, Mistakes> {
        if self.mistakes.is_empty() {
            Ok(Effective(self.effective))
        } else {
            Err(Mistakes(self.mistakes))
        }
    }

    fn look_up(&self, setting: &Setting) -> (Option<String>, Source) {
        let flag = self.flags.get(setting.name).filter(|v| !v.is_empty());
        if let Some(value) = flag {
            return (Some(value.clone()), Source::Flag);
        }
        if let Some(value) = (self.environment)(setting.name).filter(|v| !v.is_empty()) {
            return (Some(value), Source::Environment);
        }
        match setting.default {
            Some(value) => (Some(value.to_owned()), Source::Default),
            None => (None, Source::Unset),
        }
    }
}

/// The settings in force, secrets masked, for `--print-config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective(Vec<(&'static str, String, Source)>);

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value, source) in &self.0 {
            writeln!(f, "{name}={value}  # {source}")?;
        }
        Ok(())
    }
}

/// The settings as a Markdown table, for the documentation.
pub fn markdown_table(settings: &[&Setting]) -> String {
    let mut table = String::from("| variable | default | meaning |\n| --- | --- | --- |\n");
    for setting in settings {
        let default = match setting.default {
            Some(value) => format!("`{value}`"),
            None if setting.required => "required".to_owned(),
            None => "none".to_owned(),
        };
        let _ = writeln!(
            table,
            "| `{}` | {default} | {} |",
            setting.name, setting.help
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDR: Setting = Setting::with_default("LISTEN_ADDR", "0.0.0.0:8080", "where to listen");
    const TEAM: Setting = Setting::required("TEAM_ID", "first word of every reply");
    const URL: Setting = Setting::optional("DATABASE_URL", "database").url_with_password();

    #[expect(clippy::unnecessary_wraps, reason = "the shape of a parser")]
    fn text(value: &str) -> Result<String, String> {
        Ok(value.to_owned())
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_default() {
        let environment = |name: &str| (name == "LISTEN_ADDR").then(|| "1.1.1.1:1".to_owned());
        let none = Flags::new();
        let mut reader = Reader::new(&environment, &none);
        assert_eq!(
            reader.value(&ADDR, socket_addr),
            "1.1.1.1:1".parse().ok(),
            "environment over default"
        );
        let flags = Flags::from([("LISTEN_ADDR", "2.2.2.2:2".to_owned())]);
        let mut reader = Reader::new(&environment, &flags);
        assert_eq!(reader.value(&ADDR, socket_addr), "2.2.2.2:2".parse().ok());
        let empty = |_: &str| None;
        let mut reader = Reader::new(&empty, &none);
        assert_eq!(
            reader.value(&ADDR, socket_addr),
            "0.0.0.0:8080".parse().ok()
        );
    }

    #[test]
    fn lists_all_mistakes_at_once() {
        let environment = |name: &str| (name == "LISTEN_ADDR").then(|| "here".to_owned());
        let flags = Flags::new();
        let mut reader = Reader::new(&environment, &flags);
        assert_eq!(reader.value(&ADDR, socket_addr), None);
        assert_eq!(reader.value(&TEAM, text), None);
        let mistakes = reader.finish().unwrap_err();
        assert_eq!(mistakes.lines().len(), 2);
        let shown = mistakes.to_string();
        assert!(shown.contains("LISTEN_ADDR (--listen-addr) is \"here\""));
        assert!(shown.contains("TEAM_ID (--team-id) is required and not set"));
    }

    #[test]
    fn a_wrong_value_is_told_on_one_line_however_long_and_odd_it_is() {
        for (value, told) in [
            ("a\nb\u{1b}[31m".to_owned(), "\"a\\nb\\u{1b}[31m\" (from"),
            ("é".repeat(5_000), "é…\" (from"),
        ] {
            let environment = |_: &str| Some(value.clone());
            let flags = Flags::new();
            let mut reader = Reader::new(&environment, &flags);
            assert_eq!(reader.value(&ADDR, socket_addr), None);
            let mistakes = reader.finish().unwrap_err();
            let [line] = mistakes.lines() else {
                panic!("{mistakes}");
            };
            assert!(line.contains(told) && line.len() < 400, "{line}");
            assert!(!line.chars().any(char::is_control), "{line}");
        }
    }

    #[test]
    fn an_empty_value_counts_as_not_set() {
        let environment = |_: &str| Some(String::new());
        let flags = Flags::new();
        let mut reader = Reader::new(&environment, &flags);
        assert_eq!(reader.optional(&URL, text), Some(None));
    }

    #[test]
    fn never_shows_a_password() {
        let secret = "mysql://app:p@ss/w?rd@db:3306/tripod";
        let environment = |_: &str| Some(secret.to_owned());
        let flags = Flags::new();
        let mut reader = Reader::new(&environment, &flags);
        assert_eq!(reader.optional::<()>(&URL, |_| Err("no".to_owned())), None);
        let mistakes = reader.finish().unwrap_err().to_string();
        assert!(mistakes.contains("mysql://app:***@db:3306/tripod"));
        assert!(!mistakes.contains("p@ss") && !mistakes.contains("w?rd"));

        for typo in ["mysql:/app:s3cret@db/x", "mysql//app:s3cret@db/x"] {
            assert_eq!(mask_url_password(typo), "***@db/x");
        }

        let mut reader = Reader::new(&environment, &flags);
        assert_eq!(reader.optional(&URL, text), Some(Some(secret.to_owned())));
        let printed = reader.finish().unwrap().to_string();
        assert_eq!(
            printed,
            "DATABASE_URL=mysql://app:***@db:3306/tripod  # environment\n"
        );
    }
}
