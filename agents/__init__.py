"""Agents for textgym, run from the checkout: ``python -m agents.sb3.train``, ``python -m agents.evaluate``."""
