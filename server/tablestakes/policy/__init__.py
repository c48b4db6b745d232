"""Policies: which methods callers may call, and which rows and fields they may use."""
