"""Sequences that the long form of these tests found, each as short as it could be made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nights.life import Life
from tests.nights.night import Night
from tests.nights.recordings import sound
from tests.nights.service import Service
from tests.nights.world import Form


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.close()


@pytest.fixture
def life(service: Service, form: Form) -> Iterator[Life]:
    found = Life(service, form)
    yield found
    found.close()


@pytest.mark.parametrize("form", ["folder"])
def test_a_renamed_recording_moves_its_row_also_when_a_copy_of_it_is_asked_for_again(life: Life) -> None:
    for name in ("a", "b"):
        life.world.write(f"archive/disk1/{name}.wav", sound(1))
    life.night(Night())
    life.world.rename("archive/disk1/a.wav", "archive/disk1/c.wav")
    life.night(Night(only=("all",)))


@pytest.mark.parametrize("form", ["folder", "paths", "ids"])
def test_a_disk_that_goes_is_told_also_when_another_manifest_had_the_output_since(life: Life, form: Form) -> None:
    for number in range(24):
        life.move("add", number, number)
    life.move("add_second", 0, 3)
    life.night(Night())
    life.night(Night(manifest="second"))
    life.move("unmount", 0, 0)
    assert life.night(Night()).exit == 3
    assert life.night(Night()).exit == 0
