"""People, their groups and their API tokens."""
