"""Hardware to readings: one source a file; plain blocking functions that judge nothing."""
