-- How often each user used each tag that earns something.
SELECT
    tag_uses.user_key,
    tag_uses.tag,
    SUM(tag_uses.uses) AS uses
FROM tag_uses
WHERE NOT EXISTS (SELECT 1 FROM popular WHERE popular.tag = tag_uses.tag)
    AND NOT EXISTS (
        SELECT 1 FROM lost
        WHERE lost.tweet_key = tag_uses.tweet_key AND lost.input = tag_uses.input
    )
GROUP BY tag_uses.user_key, tag_uses.tag
