"""Misbehaviour on purpose: the kinds of faults, the file that asks for them, and the decision which one strikes."""
