"""One command a file; `main(arguments)` returns the exit code."""
