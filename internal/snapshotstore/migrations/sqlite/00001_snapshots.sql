-- +goose Up
-- One row per stored snapshot. The columns before packed repeat what the packed
-- bytes say, so that listing, pinning and pruning never have to decode them;
-- packed comes last because SQLite then reads it only when it is asked for.
CREATE TABLE snapshots (
    ord          INTEGER PRIMARY KEY,  -- order of arrival: decides between equal versions
    id           TEXT    NOT NULL UNIQUE,
    player       TEXT    NOT NULL,
    player_name  TEXT    NOT NULL,
    fence        INTEGER NOT NULL CHECK (fence > 0),
    sequence     INTEGER NOT NULL CHECK (sequence > 0),
    stored_as    TEXT    NOT NULL CHECK (stored_as IN ('current', 'history', 'conflict')),
    pinned       INTEGER NOT NULL CHECK (pinned IN (0, 1)),
    save_cause   TEXT    NOT NULL,
    server       TEXT    NOT NULL,
    platform     TEXT    NOT NULL,
    game_version TEXT    NOT NULL,
    captured_at  INTEGER,              -- Unix milliseconds; the game server's clock
    created_at   INTEGER,              -- Unix milliseconds; the worker's clock
    packed       BLOB    NOT NULL
) STRICT;

-- Serves the newest version, the list and the pruning of one player without
-- touching the table.
CREATE INDEX snapshots_order
    ON snapshots (player, fence, sequence, ord, stored_as, pinned, created_at);
