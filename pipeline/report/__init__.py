"""What a person sees: progress while a run goes on, figures at its end, word error rates.

`progress` the bar or plain lines · `figures` the run's record, its table and last line · `wer` the comparison.
"""
