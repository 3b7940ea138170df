"""Findings to one decision; pure."""
