"""The helper: a process of its own, as root, that drains and resumes this node; no asyncio."""
