"""Arguments that are addresses: prefixes and globs of object stores, recordings, and manifests. Asks no source."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.errors import ManifestError
from pipeline.formats import AUDIO_EXTENSIONS
from pipeline.manifest.prefix import Prefix
from pipeline.manifest.rows import Warn, printable
from pipeline.manifest.search import Search, is_glob
from pipeline.manifest.tables import KINDS, PACKED, SHEETS, Table, suffix_of
from pipeline.source import Sources
from pipeline.source.addresses import OBJECTS, path_in, place_of, prefix_or_address_of, scheme_of


def named_at(argument: str, sources: Sources, search: Callable[..., Search], warn: Warn) -> Table | Prefix | str:
    """The manifest or the prefix of an address, or the address of a recording. Its signature is kept in `sources`.

    Raises ManifestError.
    """
    try:
        address = sources.signatures.take(prefix_or_address_of(argument))
    except ValueError as error:
        raise ManifestError(f"{error}.") from None
    if printable(address) != address:
        raise ManifestError(f"{printable(address)!r} cannot name a manifest: it holds control characters.")
    path, is_object = path_in(address), scheme_of(address) in OBJECTS
    if is_object and is_glob(address):
        return _glob(address, sources, search, warn)
    if path.lower().endswith(AUDIO_EXTENSIONS):
        return address
    if suffix_of(path) or not is_object or path.lower().endswith((*PACKED, *SHEETS)):
        if not is_object and path.endswith("/"):
            raise ManifestError(f"{address}: a web server cannot be listed; name its recordings in a manifest.")
        return Table(address, sources, warn)
    return Prefix(address, address, search(), sources, warn)


def _glob(address: str, sources: Sources, search: Callable[..., Search], warn: Warn) -> Prefix:
    place = place_of(address)
    if is_glob(place) or suffix_of(address):
        problem = "manifests at addresses are named one by one" if suffix_of(address) else "a glob needs a bucket"
        raise ManifestError(f"{address}: {problem}; a manifest is {KINDS}.")
    names = address[len(place) + 1 :].split("/")
    first = next(number for number, name in enumerate(names) if is_glob(name))
    root = "/".join([place, *names[:first], ""])
    return Prefix(address, root, search(glob="/".join(names[first:])), sources, warn)
