"""Faults that the local server injects on purpose: what they are, which request gets one, and the file that asks."""
