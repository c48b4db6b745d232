"""Showing the metrics to Prometheus and to people."""
