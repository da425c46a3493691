-- The denormalised rows: each relation from both its sides, once where a user
-- met themself.
WITH valid AS (
    SELECT sender_key, reply_key, retweet_key, tweet_key, created_at, stamp, tweet_text, hashtags
    FROM contact_tweets
    WHERE NOT EXISTS (
        SELECT 1 FROM lost
        WHERE lost.tweet_key = contact_tweets.tweet_key AND lost.input = contact_tweets.input
    )
),
relations AS (
    SELECT
        sender_key,
        reply_key AS other_key,
        CASE WHEN retweet_key = reply_key THEN 3 ELSE 1 END AS kind,
        tweet_key, created_at, stamp, tweet_text, hashtags
    FROM valid
    WHERE reply_key IS NOT NULL
    UNION ALL
    SELECT
        sender_key,
        retweet_key AS other_key,
        2 AS kind,
        tweet_key, created_at, stamp, tweet_text, hashtags
    FROM valid
    WHERE retweet_key IS NOT NULL AND (reply_key IS NULL OR reply_key <> retweet_key)
),
sides AS (
    SELECT
        sender_key AS user_key,
        other_key AS contact_key,
        kind, tweet_key, created_at, stamp, tweet_text, hashtags
    FROM relations
    UNION ALL
    SELECT
        other_key AS user_key,
        sender_key AS contact_key,
        kind, tweet_key, created_at, stamp, tweet_text, hashtags
    FROM relations
    WHERE other_key <> sender_key
)
SELECT
    sides.user_key,
    sides.contact_key,
    sides.tweet_key,
    sides.created_at,
    CAST(sides.kind AS INT) AS kind,
    sides.tweet_text,
    sides.hashtags,
    COALESCE(users.screen_name, '') AS contact_screen_name,
    COALESCE(users.description, '') AS contact_description,
    met.reply_count,
    met.retweet_count,
    met.same_tag_count,
    CAST(
        CASE WHEN sides.stamp = met.reply_stamp THEN 1 ELSE 0 END
        + CASE WHEN sides.stamp = met.retweet_stamp THEN 2 ELSE 0 END
        + CASE WHEN sides.stamp = met.stamp THEN 4 ELSE 0 END
    AS INT) AS latest
FROM sides
JOIN met
    ON met.lo_key = LEAST(sides.user_key, sides.contact_key)
    AND met.hi_key = GREATEST(sides.user_key, sides.contact_key)
LEFT JOIN users ON users.user_key = sides.contact_key
ORDER BY sides.user_key, sides.contact_key, sides.tweet_key
