"""The tables: numbered migrations, oldest first. A number that was released never changes."""

MIGRATIONS: dict[str, tuple[str, ...]] = {
    "0001_conversations": (
        """CREATE TABLE conversations (id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL,
            voice_profile TEXT, created_at TEXT NOT NULL)""",
        "CREATE INDEX conversations_owner ON conversations (owner)",
        # seq, not created_at, orders turns: a clock may jump. AUTOINCREMENT never reuses a number.
        """CREATE TABLE turns (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE, number INTEGER NOT NULL,
            client_turn_id TEXT, user_text TEXT NOT NULL, reply_text TEXT NOT NULL, user_audio TEXT, reply_audio TEXT,
            state TEXT NOT NULL CHECK (state IN ('done', 'interrupted', 'failed')), language TEXT, rating INTEGER,
            engines TEXT NOT NULL, timings_ms TEXT NOT NULL, created_at TEXT NOT NULL,
            UNIQUE (conversation, number), UNIQUE (conversation, client_turn_id))""",
    ),
    "0002_sayings": (
        """CREATE TABLE sayings (owner TEXT NOT NULL, written TEXT NOT NULL COLLATE NOCASE, spoken TEXT NOT NULL,
            PRIMARY KEY (owner, written)) WITHOUT ROWID""",
    ),
    "0003_personas": ("ALTER TABLE conversations ADD COLUMN persona TEXT NOT NULL DEFAULT ''",),
}
