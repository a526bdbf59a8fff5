"""What happens between nights. Each takes the world and numbers that choose; what is not possible now does nothing.

So a sequence with some of its moves left out is a sequence again, and can be made shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.nights.names import NAME_MOVES
from tests.nights.recordings import broken, truncated
from tests.nights.world import DISKS, World

T = TypeVar("T")
Move = Callable[[World, int, int], None]


def chosen(of: Sequence[T], number: int) -> T:
    return of[number % len(of)]


def add(world: World, a: int, b: int) -> None:
    disks = [disk for disk in DISKS if disk not in world.away]
    if disks and (free := world.free(f"archive/{chosen(disks, a)}")):
        path = chosen(free, a // 2)
        world.write(path, world.sound(b))
        world.list_row(path)


def add_many(world: World, a: int, b: int) -> None:
    count = {"short": 10, "many": 40, "long": 3}[world.kind]
    for number in range(count):
        add(world, 2 * a + (b + (number if count == 40 else 0)) % 2, b + number)


def add_second(world: World, a: int, b: int) -> None:
    if free := world.free("second"):
        world.write(chosen(free, a), world.sound(b))


def change(world: World, a: int, b: int) -> None:
    if paths := world.present():
        world.write(chosen(paths, a), world.sound(b))


def damage(world: World, a: int, b: int) -> None:
    if paths := world.present():
        world.write(chosen(paths, a), broken(b))


def truncate(world: World, a: int, b: int) -> None:
    """A copy of a transcribed file that was broken off."""
    known = [path for path in world.present() if world.files[path].name == world.known.get(path)]
    if world.kind != "long" and (paths := known):
        path = chosen(paths, a)
        world.write(path, truncated(world.files[path]))


def delete(world: World, a: int, b: int) -> None:
    if paths := world.present():
        path = chosen(paths, a)
        world.delete(path)
        if b % 2:
            world.unlist(path)


def rename(world: World, a: int, b: int) -> None:
    # what is only a beginning must be known by the name it has: by another it would be decoded, which takes long
    if paths := [path for path in world.present() if world.files[path].kind != "truncated"]:
        path = chosen(paths, a)
        if free := world.free(path.rpartition("/")[0]):
            world.rename(path, chosen(free, b))


def copy(world: World, a: int, b: int) -> None:
    if paths := [path for path in world.present() if world.files[path].kind != "truncated"]:
        content = world.files[chosen(paths, a)]
        if b % 4 == 0:
            if free := world.free("second"):
                world.write(chosen(free, b // 4), content)
            return
        disks = [disk for disk in DISKS if disk not in world.away]
        if disks and (free := world.free(f"archive/{chosen(disks, b)}")):
            path = chosen(free, b // 2)
            world.write(path, content)
            world.list_row(path)


def touch(world: World, a: int, b: int) -> None:
    if paths := world.present():
        world.touch(chosen(paths, a))


def unmount(world: World, a: int, b: int) -> None:
    """One disk of the archive, or both."""
    for disk in DISKS if b % 2 else (chosen(DISKS, a),):
        if disk not in world.away:
            world.unmount(disk)


def restore(world: World, a: int, b: int) -> None:
    for disk in sorted(world.away):
        world.mount(disk)


def fail_to_read(world: World, a: int, b: int) -> None:
    if paths := world.present():
        world.unreadable.add(chosen(paths, a))
        world.changes += 1


def read_again(world: World, a: int, b: int) -> None:
    world.unreadable.clear()
    world.changes += 1


def language(world: World, a: int, b: int) -> None:
    world.set(chosen(("en", "fr", "de"), a), world.temp)


def temperature(world: World, a: int, b: int) -> None:
    world.set(world.language, chosen((None, 0.5), a))


def tell(world: World, a: int, b: int) -> None:
    """Another reference, or other metadata."""
    if world.listed:
        row = chosen(world.listed, a)
        if b % 2:
            row.reference = f"said {b}"
        else:
            row.speaker = f"speaker {b}"
        world.changes += 1


MOVES: dict[str, Move] = {
    move.__name__: move
    for move in (
        add, add_many, add_second, change, damage, truncate, delete, rename, copy, touch, unmount, restore,
        fail_to_read, read_again, language, temperature, tell, *NAME_MOVES,
    )
}  # fmt: skip
