-- Tweets that more than one input has, and the input that keeps them: the first.
SELECT
    tweets.tweet_key,
    MIN(inputs.input_no) AS kept_no
FROM tweets
JOIN inputs ON inputs.input = tweets.input
GROUP BY tweets.tweet_key
HAVING COUNT(*) > 1
