-- What the rows of a pair have in common. Counts stop at the greatest 32-bit number.
SELECT
    pairs.lo_key,
    pairs.hi_key,
    LEAST(pairs.reply_count, 4294967295) AS reply_count,
    LEAST(pairs.retweet_count, 4294967295) AS retweet_count,
    LEAST(COALESCE(common.same_tag_count, 0), 4294967295) AS same_tag_count,
    pairs.reply_stamp,
    pairs.retweet_stamp,
    pairs.stamp
FROM pairs
LEFT JOIN common ON common.lo_key = pairs.lo_key AND common.hi_key = pairs.hi_key
