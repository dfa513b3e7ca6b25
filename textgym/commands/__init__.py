"""What ``python -m textgym`` can do. One file a command; the table of them stands in ``textgym/__main__.py``."""
