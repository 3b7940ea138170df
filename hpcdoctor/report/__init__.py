"""What a person or a script reads: the same document from the daemon and from `check` itself."""
