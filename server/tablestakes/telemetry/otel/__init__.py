"""Spans by OpenTelemetry. Only this package imports it, and is itself imported only if traces are requested.

The names and attributes are those of the semantic conventions 1.44.0, where the ones for databases are stable and
the ones for RPCs are a release candidate.
"""
