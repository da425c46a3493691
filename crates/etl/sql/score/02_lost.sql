-- The copies that lose: every fact of these is left out from here on.
SELECT
    tweets.input,
    tweets.tweet_key
FROM tweets
JOIN inputs ON inputs.input = tweets.input
JOIN repeated ON repeated.tweet_key = tweets.tweet_key
WHERE inputs.input_no > repeated.kept_no
