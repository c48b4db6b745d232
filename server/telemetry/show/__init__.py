"""Showing what was counted: to Prometheus."""
