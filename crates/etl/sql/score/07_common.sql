-- Uses of common tags, for pairs that met only. Of each pair the tags of the
-- user with fewer are looked up among the other's: a user with very many
-- contacts and very many tags costs each contact no more than its own tags.
SELECT
    driven.lo_key,
    driven.hi_key,
    SUM(few.uses + many.uses) AS same_tag_count
FROM (
    SELECT
        pairs.lo_key,
        pairs.hi_key,
        CASE WHEN lo.tags <= hi.tags THEN pairs.lo_key ELSE pairs.hi_key END AS few_key,
        CASE WHEN lo.tags <= hi.tags THEN pairs.hi_key ELSE pairs.lo_key END AS many_key
    FROM pairs
    JOIN tag_counts AS lo ON lo.user_key = pairs.lo_key
    JOIN tag_counts AS hi ON hi.user_key = pairs.hi_key
    WHERE pairs.lo_key <> pairs.hi_key
) AS driven
JOIN user_tags AS few ON few.user_key = driven.few_key
JOIN user_tags AS many ON many.user_key = driven.many_key AND many.tag = few.tag
GROUP BY driven.lo_key, driven.hi_key
