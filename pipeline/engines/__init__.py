"""Where a run takes place. `local`: on this machine, for the command; `background`: there too, in another program."""
