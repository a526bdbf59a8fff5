"""`check` against what the local server then bills: random outputs, manifests and settings, from a seed."""
