-- How many such tags each user has.
SELECT user_key, COUNT(*) AS tags
FROM user_tags
GROUP BY user_key
