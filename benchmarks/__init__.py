"""The costs of things, each measured against something else in the same run: `python -m benchmarks.<name>`."""
