"""Histograms, counters by labels, and a guard that catches the exceptions of listeners."""
