"""The head node: roster, correlation, budget, dashboard. Not built yet; this room is empty."""
