"""The standard methods, one a file: each prepares its statements at start and returns what serves the RPC."""
