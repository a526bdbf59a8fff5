"""Moves that leave the recordings alone: which name or id stands for which, and what another manifest says of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.nights.world import DISKS, Listed, World

ORDERS = ("reversed", "shuffled", "rotated", "in pairs")


def _ordered(count: int, a: int, b: int) -> list[int]:
    """Places in another order."""
    places = list(range(count))
    match ORDERS[a % len(ORDERS)]:
        case "reversed":
            return places[::-1]
        case "shuffled":
            random.Random(b).shuffle(places)
            return places
        case "rotated":
            by = 1 + b % max(1, count - 1)
            return places[by:] + places[:by]
        case _:
            return [place ^ 1 if place ^ 1 < count else place for place in places]


def _sound(world: World) -> list[str]:
    # what is only a beginning must be known by the name it has: by another it would be decoded
    return [path for path in world.present("archive/") if world.files[path].kind == "sound"]


def permute(world: World, a: int, b: int) -> None:
    """Ids of known recordings change places, or the names of files that are ids."""
    if world.form == "ids" and b % 4:
        paths = set(_sound(world))
        rows = [row for row in world.listed if row.path in paths]
        order = _ordered(len(rows), a, b)
        _reassign(world, rows, [rows[place] for place in order], told=bool(b % 2))
        return
    paths_ = _sound(world)
    order = _ordered(len(paths_), a, b)
    world.exchange({paths_[place]: path for place, path in zip(order, paths_, strict=True)})


def shift(world: World, a: int, b: int) -> None:
    """A row is put in at the top of a numbered list, so that each id names the recording of the one before; or one is
    taken out, so that each names the next one's."""
    if world.form != "ids":
        _shift_names(world, a, b)
        return
    paths = set(_sound(world))
    rows = [row for row in world.listed if row.path in paths]
    if b % 3 == 0 and len(rows) > 1:
        out = a % len(rows)
        _reassign(world, rows[out:-1], rows[out + 1 :], told=True)
        world.listed.remove(rows[-1])
        world.changes += 1
        return
    disks = [disk for disk in DISKS if disk not in world.away]
    if disks and (free := world.free(f"archive/{disks[a % len(disks)]}")):
        path = free[a % len(free)]
        world.write(path, world.sound(b))
        world.unlist(path)
        last = Listed(world.new_id(), path)
        world.listed.append(last)
        _reassign(world, [*rows, last], [last, *rows], told=True)


def _reassign(world: World, to: Sequence[Listed], of: Sequence[Listed], *, told: bool) -> None:
    """The ids of `to` get the recordings of `of`, where `told` with what the manifest says of these."""
    found = [(row.path, row.reference, row.speaker) for row in of]
    for row, (path, reference, speaker) in zip(to, found, strict=True):
        row.path = path
        if told:
            row.reference, row.speaker = reference, speaker
    world.changes += 1


def _shift_names(world: World, a: int, b: int) -> None:
    """Files are numbered anew, with one more at the top."""
    folder = f"archive/{DISKS[a % len(DISKS)]}/"
    paths = [path for path in _sound(world) if path.startswith(folder)]
    if paths and (free := world.free(folder[:-1])):
        world.write(free[0], world.sound(b))
        world.list_row(free[0])
        names = [*paths, free[0]]
        world.exchange(dict(zip(names, [*names[1:], names[0]], strict=True)))


def share(world: World, a: int, b: int) -> None:
    """A row of another CSV over the same output: of the same recording under the same id, or under another one; or of
    another recording."""
    paths = world.present("archive/")
    if b % 3 == 2 and (free := world.free("second")):
        path = free[a % len(free)]
        world.write(path, world.sound(b // 3))
    elif paths:
        path = paths[a % len(paths)]
    else:
        return
    id_ = world.new_id()
    if b % 3 == 0:
        id_ = next((one.id for one in world.wanted("main") if one.path == path), id_)
    _list_in_other(world, id_, path)


def clash(world: World, a: int, b: int) -> None:
    """A row of another CSV that gives an id of the first manifest to other audio."""
    rows, paths = world.wanted("main"), _sound(world)
    if rows and paths:
        _list_in_other(world, rows[a % len(rows)].id, paths[b % len(paths)])


def no_clash(world: World, a: int, b: int) -> None:
    """Rows that clash are mended."""
    mine = {one.id: one.path for one in world.wanted("main")}
    world.other = [row for row in world.other if mine.get(row.id, row.path) == row.path]
    world.changes += 1


def _list_in_other(world: World, id_: str, path: str) -> None:
    by_path = world.is_by_path("other")
    if all(row.path != path if by_path else row.id != id_ for row in world.other):
        world.other.append(Listed(id_, path))
        world.changes += 1


def settings_back(world: World, a: int, b: int) -> None:
    """The settings before they were changed."""
    world.set(*world.before)


def cut(world: World, a: int, b: int) -> None:
    """Other clips, of recordings that are long enough."""
    if world.kind == "long":
        world.max_clip_s = (1.0, 1.5, 2.2, 300.0)[a % 4]
        world.changes += 1


def channels(world: World, a: int, b: int) -> None:
    """Channels mixed, or each by itself."""
    world.channels = "split" if world.channels == "mix" else "mix"
    world.changes += 1


NAME_MOVES: tuple[Callable[[World, int, int], None], ...] = (
    permute, shift, share, clash, no_clash, settings_back, cut, channels,
)  # fmt: skip
