-- One pack for each user, in parts of at most 1 MiB; nearly every user has one part.
-- The row (0, 65535) describes the table: versions, counts, checksum, name of the load.
-- Bytes, not text: a pack holds strings of users exactly as they were posted.
-- No secondary index: every read is by the primary key.
CREATE TABLE user_pack_load (
    user_id BIGINT UNSIGNED NOT NULL,
    part SMALLINT UNSIGNED NOT NULL,
    pack MEDIUMBLOB NOT NULL,
    PRIMARY KEY (user_id, part)
) ENGINE = InnoDB
