"""Accounts, sessions, tickets, keys, and failures to sign in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Adds five tables."""
    op.create_table(
        "users",
        sa.Column("name", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("password", "role", "desk", "created")),
        sa.Column("disabled", sa.Boolean, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("token", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("user", "via", "created", "used")),
    )
    op.create_index("ix_sessions_user", "sessions", ["user"])
    op.create_table(
        "tickets",
        sa.Column("ticket", sa.Text, primary_key=True),
        sa.Column("created", sa.Text, nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("secret", "name", "desk", "scopes", "created", "expires", "used")
        ),
        sa.Column("revoked", sa.Boolean, nullable=False),
    )
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("mark", "at")),
    )
    op.create_index("sign_ins_mark", "sign_ins", ["mark", "at"])
