"""Readings to findings; pure."""
