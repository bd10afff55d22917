"""Letters of names: one form for text that reads the same, however a system writes it.

A letter with marks, such as é, has two forms in Unicode: the composed one (NFC), as most
systems write it, and the letter followed by its marks (NFD), as macOS writes it in names of
files. Names are compared in the composed form, and stay as they are where they lie.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection


def compose(name: str) -> str:
    """Return a name with its letters composed: in Unicode's normalisation form C."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def composed(names: Collection[str]) -> dict[str, str]:
    """Return the names that change when their letters are composed, each with its new form.

    Names that would become equal to another of them are left out: they stay as they are.

    Args:
        names: all different, in a collection that is quick to search.
    """
    special = (name for name in names if not name.isascii())
    changed = {name: form for name in special if (form := compose(name)) != name}
    counts = Counter(changed.values())
    return {name: form for name, form in changed.items() if counts[form] == 1 and form not in names}
