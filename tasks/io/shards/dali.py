"""The index that NVIDIA DALI's reader of WebDataset takes beside a tar."""

from pathlib import Path

import pyarrow as pa

from tasks.io.shards.keys import SIDE_EXTENSION


def write_dali_index(index: pa.Table, path: Path) -> None:
    """Write the index that DALI's reader of WebDataset takes (version 1.2 of wds2idx).

    A line for each image: ending, offset, size and name of each of its members. Fields
    are parted by spaces, so those of a name (of no use to DALI but in its messages) are
    written as %20. DALI refuses an index without images.
    """
    lines = []
    for row in index.to_pylist():
        if row["status"] == "ok":
            member = row["member"].replace(" ", "%20")
            base, _, extension = member.rpartition(".")
            fields = [extension, row["offset"], row["size"], member]
            if row["side_offset"] is not None:
                name = f"{base}.{SIDE_EXTENSION}"
                fields += [SIDE_EXTENSION, row["side_offset"], row["side_size"], name]
            lines.append(" ".join(map(str, fields)))
    text = "\n".join([f"v1.2 {len(lines)}", *lines, ""])
    path.write_text(text, "utf-8", newline="\n")
