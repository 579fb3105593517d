"""How Alembic runs a migration: on the connection of `fakelab.service.database`, and in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
