"""Alembic's scripts: `env.py` and one file per version in `versions/`, numbered in order."""
