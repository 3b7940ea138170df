"""The only place where a node changes state; pure."""
