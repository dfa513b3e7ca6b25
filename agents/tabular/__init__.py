"""Agents of textbooks on ids whose states can be counted: for teaching, and as oracles of what can be reached."""
