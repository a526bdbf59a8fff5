"""What a person sees: log lines and progress while a run goes on, figures and tables at its end, word error rates.

`logs` the way to stderr · `progress` the bar or plain lines · `figures` the run's record and last line · `table` and
`hints` how they are shown · `wer` the comparison with references.
"""
