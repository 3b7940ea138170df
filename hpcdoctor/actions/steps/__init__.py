"""Built-in steps of remediations. None exists yet: no remediation runs in this release."""
