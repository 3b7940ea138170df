"""YAML to typed structs; each error names the file, the line and the likely fix."""
