-- Unordered pairs that met. A tweet that answers and repeats one user counts in
-- both, and is one relation.
WITH valid AS (
    SELECT sender_key, reply_key, retweet_key, stamp
    FROM contact_tweets
    WHERE NOT EXISTS (
        SELECT 1 FROM lost
        WHERE lost.tweet_key = contact_tweets.tweet_key AND lost.input = contact_tweets.input
    )
)
SELECT
    lo_key,
    hi_key,
    COUNT(*) AS relations,
    COUNT(reply_stamp) AS reply_count,
    COUNT(retweet_stamp) AS retweet_count,
    MAX(reply_stamp) AS reply_stamp,
    MAX(retweet_stamp) AS retweet_stamp,
    MAX(stamp) AS stamp
FROM (
    SELECT
        LEAST(sender_key, reply_key) AS lo_key,
        GREATEST(sender_key, reply_key) AS hi_key,
        stamp AS reply_stamp,
        CASE WHEN retweet_key = reply_key THEN stamp END AS retweet_stamp,
        stamp
    FROM valid
    WHERE reply_key IS NOT NULL
    UNION ALL
    SELECT
        LEAST(sender_key, retweet_key) AS lo_key,
        GREATEST(sender_key, retweet_key) AS hi_key,
        CAST(NULL AS DECIMAL(38, 0)) AS reply_stamp,
        stamp AS retweet_stamp,
        stamp
    FROM valid
    WHERE retweet_key IS NOT NULL AND (reply_key IS NULL OR reply_key <> retweet_key)
) AS relations
GROUP BY lo_key, hi_key
