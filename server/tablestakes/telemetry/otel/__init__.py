"""Spans by OpenTelemetry: the only room that imports it, and itself imported only where traces are asked for.

Names and attributes are those of the semantic conventions 1.44.0: the ones for databases are stable, the ones for
RPCs a release candidate.
"""
