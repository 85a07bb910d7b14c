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
    "0004_voice_profiles": (
        """CREATE TABLE voice_profiles (id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL,
            note TEXT NOT NULL, language TEXT NOT NULL, reference_text TEXT NOT NULL, start_s REAL NOT NULL,
            end_s REAL NOT NULL, duration_s REAL NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, pitch_hz REAL,
            embedding BLOB, quality TEXT NOT NULL, consent TEXT NOT NULL, origin TEXT NOT NULL,
            created_at TEXT NOT NULL)""",
        "CREATE INDEX voice_profiles_owner ON voice_profiles (owner, created_at)",
        # A default may be a voice that comes with the product, which has no row: so it is no column of the profile.
        "CREATE TABLE voice_defaults (owner TEXT PRIMARY KEY, voice TEXT NOT NULL) WITHOUT ROWID",
        # What stays of a deleted profile: that it was, and that it is gone. Whose it was, nobody can tell from this.
        """CREATE TABLE voice_tombstones (id TEXT PRIMARY KEY, consent_version TEXT NOT NULL, created_at TEXT NOT NULL,
            deleted_at TEXT NOT NULL) WITHOUT ROWID""",
    ),
    # The words said, in tokens that finding.indexed cuts. Triggers keep the index in step with the turns, whoever
    # deletes them. FTS5 only marks what is deleted: said_gone remembers that there is something to forget (search.py).
    "0005_search": (
        """CREATE VIRTUAL TABLE said USING fts5 (user_text, reply_text, facets,
            tokenize = 'unicode61 remove_diacritics 0', prefix = '1 2 3')""",
        "CREATE TABLE said_gone (seq INTEGER PRIMARY KEY)",
        """CREATE TRIGGER turn_said AFTER INSERT ON turns BEGIN
            INSERT INTO said (rowid, user_text, reply_text, facets) SELECT new.seq, indexed(new.user_text),
            indexed(new.reply_text), owner_facet(owner) || ' ' || new.state FROM conversations
            WHERE id = new.conversation; END""",
        """CREATE TRIGGER turn_gone AFTER DELETE ON turns BEGIN
            DELETE FROM said WHERE rowid = old.seq; INSERT INTO said_gone VALUES (old.seq); END""",
        """INSERT INTO said (rowid, user_text, reply_text, facets) SELECT seq, indexed(user_text), indexed(reply_text),
            owner_facet(owner) || ' ' || state FROM turns JOIN conversations ON conversations.id = conversation""",
        "CREATE INDEX turns_created ON turns (created_at)",
        "CREATE INDEX turns_user_audio ON turns (user_audio) WHERE user_audio IS NOT NULL",
        "CREATE INDEX turns_reply_audio ON turns (reply_audio) WHERE reply_audio IS NOT NULL",
    ),
    "0006_forks": (
        "ALTER TABLE conversations ADD COLUMN forked_from TEXT REFERENCES conversations (id) ON DELETE SET NULL",
        "ALTER TABLE conversations ADD COLUMN forked_at INTEGER",  # the number of the last turn that is shared
        "CREATE INDEX conversations_forked ON conversations (forked_from) WHERE forked_from IS NOT NULL",
    ),
    "0007_hq_takes": (
        """CREATE TABLE hq_takes (turn TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE, audio TEXT NOT NULL,
            created_at TEXT NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX hq_takes_audio ON hq_takes (audio)",
        """ALTER TABLE conversations ADD COLUMN quality TEXT NOT NULL DEFAULT 'fast'
            CHECK (quality IN ('fast', 'hq'))""",
    ),
    "0008_turn_voices": ("ALTER TABLE turns ADD COLUMN voice TEXT NOT NULL DEFAULT 'default'",),
    # The voice joins the facets. The index is made anew: updating its rows would leave every word in it twice.
    "0009_search_by_voice": (
        "DROP TRIGGER turn_said",
        "DROP TABLE said",
        """CREATE VIRTUAL TABLE said USING fts5 (user_text, reply_text, facets,
            tokenize = 'unicode61 remove_diacritics 0', prefix = '1 2 3')""",
        """CREATE TRIGGER turn_said AFTER INSERT ON turns BEGIN
            INSERT INTO said (rowid, user_text, reply_text, facets) SELECT new.seq, indexed(new.user_text),
            indexed(new.reply_text), owner_facet(owner) || ' ' || new.state || ' ' || voice_facet(new.voice)
            FROM conversations WHERE id = new.conversation; END""",
        """INSERT INTO said (rowid, user_text, reply_text, facets) SELECT seq, indexed(user_text), indexed(reply_text),
            owner_facet(owner) || ' ' || state || ' ' || voice_facet(voice)
            FROM turns JOIN conversations ON conversations.id = conversation""",
        "DELETE FROM said_gone",
        "CREATE INDEX turns_voice ON turns (conversation, voice)",
    ),
}
