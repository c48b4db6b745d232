"""The version of this package."""

VERSION = "0.2.0"
"""The version of the instrumentation scope of the spans: raise it if the names or the meaning of telemetry change.

It is not the version of the program: that is an attribute of the resource, `service.version`.
"""
