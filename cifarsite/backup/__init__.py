"""Database and artifacts in one archive, and back: what `manage.py backup` and `manage.py restore` do."""
