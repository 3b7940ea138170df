"""Manual pages and completions of the shells, made from the commands' own options."""
