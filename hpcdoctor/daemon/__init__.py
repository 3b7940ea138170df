"""One node: asks the prober, judges, decides, remembers, tells; without privilege."""
