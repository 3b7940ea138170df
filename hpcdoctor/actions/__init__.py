"""Carries out what the lifecycle asks for; decides nothing."""
