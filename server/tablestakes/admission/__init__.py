"""Admission: how many calls are in progress at once, who waits, and who is turned away before anything is done."""
