-- Each user's latest sighting. Stamps of one user differ, so the join finds one.
WITH valid AS (
    SELECT user_key, stamp, screen_name, description
    FROM sightings
    WHERE NOT EXISTS (
        SELECT 1 FROM lost
        WHERE lost.tweet_key = sightings.tweet_key AND lost.input = sightings.input
    )
)
SELECT
    valid.user_key,
    valid.screen_name,
    valid.description
FROM (
    SELECT user_key, MAX(stamp) AS stamp
    FROM valid
    GROUP BY user_key
) AS latest
JOIN valid ON valid.user_key = latest.user_key AND valid.stamp = latest.stamp
