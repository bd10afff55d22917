"""Letters of keys over all parts of a tar: which keys must not be composed, and in which parts.

Keys in, by the part that they are in; out come, for each part, the composed forms that its keys
must not take, as another key of the tar would take the same, or has it.
"""

from collections.abc import Container

from tasks.io.letters import compose
from tasks.io.shards.keys import key_mark


class Forms:
    """Keys of a tar with letters that may be composed, and those that they may come to equal."""

    def __init__(self) -> None:
        self._by_form: dict[bytes, bytes] = {}  # marks of keys, by marks of their composed forms
        self._several = set[bytes]()
        self._changing: list[tuple[bytes, int]] = []  # forms of keys that are none yet; the parts
        self._of_no_image = set[bytes]()

    def add(self, key: str, part: int, *, is_image: bool) -> None:
        """Take in the key of a sample, image or refused member, that a part holds."""
        if not is_image:
            self._of_no_image.add(key_mark(key))
        if key.isascii():
            return
        form, mark = key_mark(compose(key)), key_mark(key)
        if self._by_form.setdefault(form, mark) != mark:
            self._several.add(form)
        if form != mark:
            self._changing.append((form, part))

    def ambiguous(self, images: Container[bytes]) -> dict[int, list[bytes]]:
        """Return marks of composed keys that two keys of the tar would have, in order.

        They are told by the parts that hold a key which would change to one; others are left out.

        Args:
            images: marks of all keys of images.
        """
        found: dict[int, set[bytes]] = {}
        for form, part in self._changing:
            if form in self._several or form in images or form in self._of_no_image:
                found.setdefault(part, set()).add(form)
        return {part: sorted(forms) for part, forms in found.items()}
