"""The nouns: frozen structs without I/O, and without imports of ours outside this room."""
