"""The first schema: runs, reviews, tags, artifacts, events, and the full-text search."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Makes everything."""
    op.create_table(
        "runs",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("owner", "actor", "acquired", "started", "ended")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("place", "name", "kind")),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("duration_s", sa.Double),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("sha256", "phash", "level")),
        sa.Column("p_fake", sa.Double),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("sentence", "models", "fakelab", "error", "hardware")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("document", "document_sha256", "words")),
        sqlite_autoincrement=True,  # a number is never given twice, so that a cursor never skips
    )
    op.create_index("runs_sha256", "runs", ["sha256"])
    op.create_index("runs_level", "runs", ["level", "seq"])
    op.create_index("runs_started", "runs", ["started"])
    for name in ("owner", "kind", "models"):
        op.create_index(f"ix_runs_{name}", "runs", [name])
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("at", "actor", "conclusion", "notes")),
    )
    op.create_index("ix_reviews_run", "reviews", ["run"])
    op.create_table(
        "tags",
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tag", sa.Text, primary_key=True),
    )
    op.create_index("ix_tags_tag", "tags", ["tag"])
    op.create_table(
        "artifacts",
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("at", "actor", "action", "run", "detail")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("before", "hash")),
    )
    op.create_index("ix_events_run", "events", ["run"])
    for statement in _FULL_TEXT[op.get_bind().dialect.name]:
        op.execute(statement)


_FULL_TEXT = {
    "sqlite": (
        "CREATE VIRTUAL TABLE runs_words USING fts5(words, content='runs', content_rowid='seq', prefix='2 3')",
        """CREATE TRIGGER runs_words_new AFTER INSERT ON runs BEGIN
           INSERT INTO runs_words(rowid, words) VALUES (new.seq, new.words); END""",
        """CREATE TRIGGER runs_words_gone AFTER DELETE ON runs BEGIN
           INSERT INTO runs_words(runs_words, rowid, words) VALUES ('delete', old.seq, old.words); END""",
        """CREATE TRIGGER runs_words_changed AFTER UPDATE OF words ON runs BEGIN
           INSERT INTO runs_words(runs_words, rowid, words) VALUES ('delete', old.seq, old.words);
           INSERT INTO runs_words(rowid, words) VALUES (new.seq, new.words); END""",
    ),
    "postgresql": ("CREATE INDEX runs_words ON runs USING gin (to_tsvector('simple', words))",),
}
