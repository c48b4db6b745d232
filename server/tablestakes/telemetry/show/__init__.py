"""Showing what was counted: to Prometheus, and to a person."""
