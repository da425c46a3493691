-- The figures of what was built, one row.
SELECT
    used.hashtag_occurrences,
    met_tally.reply_tweets,
    valid.contact_tweets,
    met_tally.retweet_tweets,
    used.distinct_hashtags,
    seen.users_with_info,
    contacts.users_with_contacts,
    contacts.contacted_users_without_info,
    met_tally.pairs,
    met_tally.self_pairs,
    bonus.pairs_with_hashtag_bonus,
    met_tally.table_rows
FROM (
    SELECT
        COALESCE(SUM(occurrences), 0) AS hashtag_occurrences,
        COUNT(*) AS distinct_hashtags
    FROM (
        SELECT tag, SUM(uses) AS occurrences
        FROM tag_uses
        WHERE NOT EXISTS (
            SELECT 1 FROM lost
            WHERE lost.tweet_key = tag_uses.tweet_key AND lost.input = tag_uses.input
        )
        GROUP BY tag
    ) AS tags
) AS used
CROSS JOIN (
    SELECT
        COALESCE(SUM(reply_count), 0) AS reply_tweets,
        COALESCE(SUM(retweet_count), 0) AS retweet_tweets,
        COUNT(*) AS pairs,
        COALESCE(SUM(CASE WHEN lo_key = hi_key THEN 1 ELSE 0 END), 0) AS self_pairs,
        COALESCE(SUM(CASE WHEN lo_key = hi_key THEN relations ELSE 2 * relations END), 0) AS table_rows
    FROM pairs
) AS met_tally
CROSS JOIN (
    SELECT COUNT(*) AS contact_tweets
    FROM contact_tweets
    WHERE NOT EXISTS (
        SELECT 1 FROM lost
        WHERE lost.tweet_key = contact_tweets.tweet_key AND lost.input = contact_tweets.input
    )
) AS valid
CROSS JOIN (SELECT COUNT(*) AS users_with_info FROM users) AS seen
CROSS JOIN (
    SELECT
        COUNT(*) AS users_with_contacts,
        COALESCE(SUM(unseen), 0) AS contacted_users_without_info
    FROM contact_users
) AS contacts
CROSS JOIN (
    SELECT COUNT(*) AS pairs_with_hashtag_bonus
    FROM common
    WHERE same_tag_count > 10
) AS bonus
