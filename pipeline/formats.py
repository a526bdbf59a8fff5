"""The container formats that are decoded, and the file extensions of recordings."""

from __future__ import annotations

_MP4 = ("mp4", "m4a", "m4b", "m4r", "m4v", "mov", "qt", "f4a", "f4b", "f4v", "isma", "ismv", "mj2", "psp")
_3GP = ("3gp", "3gpp", "3g2", "3gp2", "3gpp2")
_MATROSKA = ("mka", "mkv", "mk3d")

FORMATS: dict[str, tuple[str, ...]] = {
    "3g2": _3GP,
    "3gp": _3GP,
    "aac": ("aac", "adts"),
    "ac3": ("ac3",),
    "aiff": ("aif", "aifc", "aiff"),
    "amr": ("amr", "awb"),
    "amrnb": (),
    "amrwb": (),
    "ape": ("ape", "mac"),
    "asf": ("asf", "wma", "wmv"),
    "au": ("au", "snd"),
    "avi": ("avi",),
    "caf": ("caf",),
    "dsf": ("dsf",),
    "dts": ("dts",),
    "eac3": ("eac3", "ec3"),
    "flac": ("flac",),
    "flv": ("flv",),
    "gsm": ("gsm",),
    "iff": ("8svx", "iff", "svx"),
    "m4a": _MP4,
    "matroska": _MATROSKA,
    "mov": _MP4,
    "mp3": ("m2a", "mp2", "mp3", "mpa", "mpga"),
    "mp4": _MP4,
    "mpc": ("mpc",),
    "mpc8": ("mpc",),
    "mpeg": ("mpeg", "mpg", "vob"),
    "mpegts": ("m2ts", "mts", "ts"),
    "nistsphere": ("nist", "sph"),
    "ogg": ("oga", "ogg", "ogm", "ogv", "ogx", "opus", "spx"),
    "oma": ("aa3", "oma", "omg"),
    "rm": ("ra", "rm", "rmvb"),
    "tak": ("tak",),
    "tta": ("tta",),
    "voc": ("voc",),
    "w64": ("w64",),
    "wav": ("bwf", "rf64", "wav", "wave"),
    "webm": ("weba", "webm"),
    "wsd": ("wsd",),
    "wv": ("wv",),
}
"""Extensions by FFmpeg's name of the demuxer. Only these demuxers are used: none opens text, pictures or playlists, and
none fetches a URL that a file contains."""

AUDIO_EXTENSIONS = tuple(sorted({f".{name}" for names in FORMATS.values() for name in names}))
"""Of recordings, in lower case; file names may have them in any case."""

HEADERLESS = (".raw", ".pcm", ".sln", ".ul", ".ulaw", ".al", ".alaw", ".vox", ".s16", ".s16le")
"""Extensions of raw samples, without sample rate and encoding."""
