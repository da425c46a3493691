//! The scores of a pair of users.
//!
//! `score = interaction * hashtag * keywords`. The first two factors do not
//! depend on the request and are stored as the *base score*; the third comes
//! from the phrase and the hashtag asked for. All logarithms are natural.

/// Least number of common hashtag uses that earns nothing extra.
const TAG_THRESHOLD: u32 = 10;

/// Score keys per unit of score: five decimals.
const KEYS_PER_UNIT: f64 = 100_000.0;

/// Least base score a pair that met can have, with a margin for the last
/// digits of a logarithm: ln 2.
pub const MIN_BASE_SCORE: f64 = std::f64::consts::LN_2 - 1e-9;

/// A bound above every base score: with 32-bit counts the interaction stays
/// below 24 and so does the hashtag factor.
pub const MAX_BASE_SCORE: f64 = 1024.0;

/// Interaction times hashtag factor of a pair, unrounded.
///
/// `same_tags` is 0 for a pair with oneself, which makes the factor 1.
///
/// ```
/// use twitter_core::score::{base_score, score_key};
/// assert_eq!(score_key(base_score(1, 0, 13)), 262_161);
/// ```
pub fn base_score(replies: u32, retweets: u32, same_tags: u32) -> f64 {
    let interaction = (1.0 + 2.0 * f64::from(replies) + f64::from(retweets)).ln();
    let hashtag = if same_tags > TAG_THRESHOLD {
        1.0 + (1.0 + f64::from(same_tags) - f64::from(TAG_THRESHOLD)).ln()
    } else {
        1.0
    };
    interaction * hashtag
}

/// The factor for `matches` hits of phrase and hashtag in contact tweets of
/// the asked type. A pair without such a tweet has no score at all and never
/// comes here.
pub fn keywords(matches: u32) -> f64 {
    if matches == 0 {
        return 1.0;
    }
    1.0 + (1.0 + f64::from(matches)).ln()
}

/// A score rounded half up to five decimals, in units of the fifth decimal.
/// Contacts are ordered by this, never by the unrounded product.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scores are at least ln 2 and far below 2^64 keys; the cast saturates anyway"
)]
pub fn score_key(score: f64) -> u64 {
    (score * KEYS_PER_UNIT + 0.5).floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_examples_of_the_task_hold() {
        assert_eq!(score_key(base_score(1, 0, 0)), 109_861);
        assert_eq!(score_key(base_score(1, 0, 13)), 262_161);
        assert_eq!(score_key(base_score(1, 1, 0) * keywords(1)), 234_720);
        assert_eq!(score_key(base_score(0, 1, 0) * keywords(3)), 165_405);
        assert_eq!(score_key(base_score(2, 1, 0) * keywords(3)), 427_567);
    }

    #[test]
    fn the_hashtag_bonus_starts_above_ten() {
        assert!((base_score(1, 0, 10) - base_score(1, 0, 0)).abs() < 1e-15);
        assert!(base_score(1, 0, 11) > base_score(1, 0, 10));
    }

    #[test]
    fn every_base_score_is_within_its_bounds() {
        for (replies, retweets, tags) in [(1, 0, 0), (0, 1, 0), (u32::MAX, u32::MAX, u32::MAX)] {
            let score = base_score(replies, retweets, tags);
            assert!((MIN_BASE_SCORE..=MAX_BASE_SCORE).contains(&score));
        }
        // What `rank` relies on to keep a key in 32 bits.
        let greatest = score_key(MAX_BASE_SCORE * keywords(u32::MAX));
        assert!(u32::try_from(greatest).is_ok());
    }
}
