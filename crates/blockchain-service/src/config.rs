//! Settings of this service beside the common ones.

use blockchain_core::Compression;
use service_kit::config::{Reader, Setting};

const DEFLATE_LEVEL: Setting = Setting::with_default(
    "DEFLATE_LEVEL",
    "fast",
    "How replies are compressed: fast (codes made for replies beforehand, least CPU), or 0 (stored) to 12: fewer bytes for more CPU.",
);

/// All of them.
pub(crate) const SETTINGS: &[&Setting] = &[&DEFLATE_LEVEL];

/// The settings, parsed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) compression: Compression,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let compression = reader.value(&DEFLATE_LEVEL, |text| {
            if text == "fast" {
                return Ok(Compression::FAST);
            }
            let level = text.parse().ok().and_then(Compression::level);
            level.ok_or_else(|| "expected fast, or a whole number from 0 to 12".to_owned())
        });
        Some(Self {
            compression: compression?,
        })
    }
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
        use storm::settings::{Known, Rule, optional};
        const KNOWN: &[Known] = &[optional(
            "DEFLATE_LEVEL",
            Rule::Of(
                &["fast", "0", "1", "6", "12"],
                &["13", "-1", "best", "FAST", "1.0"],
            ),
        )];
        storm::settings::storm("settings of blockchain", KNOWN, |environment| {
            service_kit::testing::read_settings::<crate::app::App>(&|name| {
                environment.get(name).cloned()
            })
        });
    }
}
