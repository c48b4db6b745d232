"""The gRPC boundary. `unary` reads from top to bottom what is done for each call."""
