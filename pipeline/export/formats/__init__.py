"""The formats of exports. Pure: from rows to the text of files, no I/O.

`format` what a format is · `spoken` the words of rows on the clock of their recording · `fields` names, words and
times of formats with fields.

A file for each recording: `subtitles` srt and vtt, of `cues` (`cue_limits`, `cue_words`, `cue_lines`) · `plain` txt ·
`textgrid` · `audacity`. Lines of all rows: `table` csv · `ctm` and `stm` (`sclite`) · `kaldi` · `nemo` · `lhotse`.
Shards: `hub`, with `hub_splits` and `hub_card`.
"""
