"""The newsroom's memory: every inference kept, with the events around it. Importing this room touches no file."""
