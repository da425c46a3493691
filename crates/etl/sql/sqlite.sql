-- The same table in the embedded database. Integers are signed there: an id is kept as the
-- number with the same 64 bits. Without row ids the primary key is the table.
CREATE TABLE user_pack_load (
    user_id INTEGER NOT NULL,
    part INTEGER NOT NULL,
    pack BLOB NOT NULL,
    PRIMARY KEY (user_id, part)
) WITHOUT ROWID
