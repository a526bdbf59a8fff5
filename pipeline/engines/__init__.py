"""Where a run takes place. `local`: this process, this machine."""
