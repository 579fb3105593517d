"""Alembic's migrations of the history; `fakelab.service.database` runs them."""
