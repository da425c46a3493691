-- Users with rows, and whether anyone ever saw their names.
SELECT
    contacts.user_key,
    CASE WHEN users.user_key IS NULL THEN 1 ELSE 0 END AS unseen
FROM (
    SELECT user_key
    FROM (
        SELECT lo_key AS user_key FROM pairs
        UNION ALL
        SELECT hi_key AS user_key FROM pairs WHERE lo_key <> hi_key
    ) AS sides
    GROUP BY user_key
) AS contacts
LEFT JOIN users ON users.user_key = contacts.user_key
