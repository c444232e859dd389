"""What ``import stream`` offers; the names are listed in ``stream/__init__.py``."""
