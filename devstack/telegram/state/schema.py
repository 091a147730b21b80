"""The tables. JSON columns hold Bot API objects as they went over the wire."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY,
    first_name TEXT NOT NULL,
    last_name TEXT,
    username TEXT COLLATE NOCASE UNIQUE,
    language_code TEXT,
    is_admin INTEGER NOT NULL DEFAULT 0,
    deactivated INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS chats (
    id INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    title TEXT,
    bot_status TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    migrated_to INTEGER
);
CREATE TABLE IF NOT EXISTS members (
    chat_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    PRIMARY KEY (chat_id, user_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS topics (
    chat_id INTEGER NOT NULL,
    thread_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    closed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (chat_id, thread_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS messages (
    message_id INTEGER PRIMARY KEY,
    chat_id INTEGER NOT NULL,
    from_bot INTEGER NOT NULL,
    date INTEGER NOT NULL,
    payload TEXT NOT NULL,
    keyboard TEXT,
    silent INTEGER NOT NULL DEFAULT 0,
    edits INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_by_chat ON messages (chat_id, revision);
CREATE INDEX IF NOT EXISTS messages_by_revision ON messages (revision);

CREATE TABLE IF NOT EXISTS updates (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    update_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    queue TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    out_of_order INTEGER NOT NULL DEFAULT 0,
    handed_out_count INTEGER NOT NULL DEFAULT 0,
    first_handed_out_at REAL,
    last_handed_out_at REAL,
    acknowledged_at REAL,
    acknowledged_by TEXT
);
CREATE INDEX IF NOT EXISTS updates_by_id ON updates (update_id);
CREATE INDEX IF NOT EXISTS updates_pending ON updates (seq) WHERE acknowledged_at IS NULL;

CREATE TABLE IF NOT EXISTS callback_queries (
    id TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL,
    chat_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    data TEXT NOT NULL,
    created_at REAL NOT NULL,
    answered_at REAL,
    answer TEXT
);
CREATE INDEX IF NOT EXISTS callback_queries_by_chat ON callback_queries (chat_id, created_at);

CREATE TABLE IF NOT EXISTS invoices (message_id INTEGER PRIMARY KEY, payload TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS checkouts (
    id TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL,
    currency TEXT NOT NULL,
    total_amount INTEGER NOT NULL,
    payload TEXT NOT NULL,
    created_at REAL NOT NULL,
    answered_at REAL,
    answer TEXT
);

CREATE TABLE IF NOT EXISTS star_transactions (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    charge_id TEXT NOT NULL,
    user_id INTEGER,
    stars INTEGER NOT NULL,
    nanostars INTEGER NOT NULL DEFAULT 0,
    payload TEXT NOT NULL,
    partner TEXT,
    is_refund INTEGER NOT NULL,
    date INTEGER NOT NULL,
    UNIQUE (charge_id, is_refund)
);

CREATE TABLE IF NOT EXISTS invoice_links (
    link TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    payload TEXT NOT NULL,
    currency TEXT NOT NULL,
    total_amount INTEGER NOT NULL,
    period INTEGER
);
CREATE TABLE IF NOT EXISTS subscriptions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    link TEXT NOT NULL,
    until_date INTEGER NOT NULL,
    canceled INTEGER NOT NULL DEFAULT 0,
    bot_canceled INTEGER NOT NULL DEFAULT 0,
    UNIQUE (user_id, link)
);
CREATE TABLE IF NOT EXISTS subscription_charges (
    charge_id TEXT PRIMARY KEY,
    subscription_id INTEGER NOT NULL,
    period INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS files (
    file_id TEXT PRIMARY KEY,
    file_unique_id TEXT NOT NULL,
    name TEXT,
    mime_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    width INTEGER,
    height INTEGER
);

CREATE TABLE IF NOT EXISTS commands (
    scope TEXT NOT NULL,
    language_code TEXT NOT NULL,
    commands TEXT NOT NULL,
    PRIMARY KEY (scope, language_code)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    method TEXT NOT NULL,
    chat_id INTEGER,
    params TEXT NOT NULL,
    started_at REAL NOT NULL,
    finished_at REAL NOT NULL,
    outcome TEXT NOT NULL,
    error_code INTEGER,
    description TEXT,
    took_effect INTEGER NOT NULL,
    message_id INTEGER,
    fault_id INTEGER,
    fault_kind TEXT
);
CREATE INDEX IF NOT EXISTS requests_by_method ON requests (method, id);
CREATE INDEX IF NOT EXISTS requests_by_chat ON requests (chat_id, id);

CREATE TABLE IF NOT EXISTS webhook_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL,
    update_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at REAL NOT NULL,
    status INTEGER,
    error TEXT
);
"""

# `counters` stays: ids are never used twice. What the bot itself set goes only when asked for.
EMPTIED_BY_RESET = (
    "members",
    "topics",
    "chats",
    "users",
    "messages",
    "updates",
    "callback_queries",
    "checkouts",
    "invoices",
    "star_transactions",
    "invoice_links",
    "subscriptions",
    "subscription_charges",
    "files",
    "requests",
    "webhook_deliveries",
)
SET_BY_THE_BOT = ("commands", "facts")
