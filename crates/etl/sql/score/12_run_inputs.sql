-- What each input lost to earlier ones.
SELECT
    inputs.input,
    COALESCE(repeats.tweets, 0) AS repeated_tweets,
    COALESCE(repeats.relations, 0) AS repeated_relations,
    COALESCE(repeats.with_oneself, 0) AS repeated_relations_with_oneself
FROM inputs
LEFT JOIN (
    SELECT
        input,
        COUNT(*) AS tweets,
        SUM(
            CASE WHEN reply_key IS NOT NULL THEN 1 ELSE 0 END
            + CASE WHEN second_key IS NOT NULL THEN 1 ELSE 0 END
        ) AS relations,
        SUM(
            CASE WHEN reply_key = sender_key THEN 1 ELSE 0 END
            + CASE WHEN second_key = sender_key THEN 1 ELSE 0 END
        ) AS with_oneself
    FROM (
        SELECT
            lost.input,
            contact_tweets.sender_key,
            contact_tweets.reply_key,
            CASE
                WHEN contact_tweets.reply_key = contact_tweets.retweet_key THEN NULL
                ELSE contact_tweets.retweet_key
            END AS second_key
        FROM lost
        LEFT JOIN contact_tweets
            ON contact_tweets.tweet_key = lost.tweet_key AND contact_tweets.input = lost.input
    ) AS copies
    GROUP BY input
) AS repeats ON repeats.input = inputs.input
ORDER BY inputs.input_no
