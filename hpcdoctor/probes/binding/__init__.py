"""How are threads bound, and where do they run? The parts that cpu_binding and its like share."""
