"""What ``make gallery`` runs."""

from __future__ import annotations

import torch

from gallery.figures import figures
from gallery.pages import pages
from gallery.places import IMAGES, ZOO


def main() -> None:
    """Write everything, and remove images that no page has any more."""
    torch.set_num_threads(1)
    (ZOO / IMAGES).mkdir(parents=True, exist_ok=True)
    written = set()
    for name, text in pages().items():
        (ZOO / name).write_text(text, encoding="utf-8")
    for name, drawn in figures():
        (ZOO / name).write_text(drawn, encoding="utf-8")
        written.add(ZOO / name)
    for left in set((ZOO / IMAGES).iterdir()) - written:
        left.unlink()
    print(f"wrote {len(pages())} pages and {len(written)} figures to {ZOO}")


if __name__ == "__main__":
    main()
