//! Ids as the engines see them.
//!
//! Ids are unsigned 64-bit numbers and Spark has none. A *key* is the id with its highest bit
//! inverted, as a signed number: keys compare as ids do, and every id has one. This is the one
//! place where ids and keys are turned into each other.

/// The key of an id.
pub const fn of(id: u64) -> i64 {
    (id ^ (1 << 63)).cast_signed()
}

/// The id of a key.
pub const fn id(key: i64) -> u64 {
    key.cast_unsigned() ^ (1 << 63)
}

/// A stamp orders tweets by (created at, id): the time above 64 bits of id. It fits `DECIMAL(38, 0)`
/// for all times of four-digit years.
pub const fn stamp(created_at: i64, tweet_id: u64) -> i128 {
    ((created_at as i128) << 64) | tweet_id as i128
}

/// A sighting's stamp: on the same stamp the sender's own comes after the retweeted user's.
pub const fn sighting_stamp(created_at: i64, tweet_id: u64, is_sender: bool) -> i128 {
    (stamp(created_at, tweet_id) << 1) | is_sender as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_of_ids() {
        let ids = [0, 1, (1 << 63) - 1, 1 << 63, u64::MAX];
        assert!(ids.is_sorted_by_key(|id| of(*id)));
        assert!(ids.iter().all(|wanted| id(of(*wanted)) == *wanted));
        assert_eq!((of(0), of(u64::MAX)), (i64::MIN, i64::MAX));
    }

    #[test]
    fn stamps_order_by_time_then_id_then_role() {
        let year_9999 = 253_402_300_799;
        let mut all = Vec::new();
        for time in [-62_167_219_200, -1, 0, 1, year_9999] {
            for id in [0, 1, u64::MAX] {
                all.push(sighting_stamp(time, id, false));
                all.push(sighting_stamp(time, id, true));
            }
        }
        assert!(all.is_sorted_by(|a, b| a < b));
        let limit = 10i128.pow(38);
        assert!(all.iter().all(|stamp| stamp.abs() < limit));
    }
}
