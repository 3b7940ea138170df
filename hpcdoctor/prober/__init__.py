"""Reads the machine: a small template process forks children that look, and may be killed."""
