"""Counting: histograms, counters by labels, and a guard around whatever counts."""
