"""Jobs, and the recipe by which a known file finds its answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

_TEXTS = (
    *("owner", "actor", "acquired", "name", "place", "url", "sha256", "recipe", "choices", "state", "stage", "error"),
    *("created", "started", "ended", "changed", "worker", "request_key", "request_hash", "webhook", "repeats"),
    "batch",
)


def upgrade() -> None:
    """Adds both; the runs that are there have no recipe, and so are never taken for an answer."""
    op.add_column("runs", sa.Column("recipe", sa.Text, nullable=False, server_default=""))
    op.create_index("runs_recipe", "runs", ["recipe"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("total", sa.BigInteger),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("done", "round", "attempts")),
    )
    op.create_index("jobs_state", "jobs", ["state", "created"])
    op.create_index("jobs_changed", "jobs", ["changed"])
    op.create_index("jobs_key", "jobs", ["owner", "request_key"])
    op.create_index("jobs_recipe", "jobs", ["recipe"])
    op.create_index("ix_jobs_repeats", "jobs", ["repeats"])
    op.create_index("ix_jobs_batch", "jobs", ["batch"])
