-- +goose Up
-- What operators did by hand: who was taken from which server, and why. Nothing
-- is ever removed from it.
CREATE TABLE releases (
    ord         INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,  -- Unix milliseconds
    player      TEXT    NOT NULL,
    holder      TEXT    NOT NULL,
    fence       INTEGER NOT NULL CHECK (fence >= 0),
    reason      TEXT    NOT NULL,
    forced      INTEGER NOT NULL CHECK (forced IN (0, 1)),
    released_by TEXT    NOT NULL
) STRICT;

CREATE INDEX releases_player ON releases (player, ord);
