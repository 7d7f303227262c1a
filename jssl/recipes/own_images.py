"""Rules by which a run on a user's own images gets its sizes, its network and its length.

`jssl train simclr --data=folder:photos` says what it chose by them before it begins, and
``--config.…`` sets any of it. The sizes are powers of two of ImageNet's 224 pixels, so that every
recipe for ImageNet fits when it is shrunk: a patch is 1/14 of the side whatever the side is.
"""

import dataclasses
from typing import Any

from jssl.counts import counted
from jssl.recipes import policies
from jssl.recipes.networks import resnet

Config = dict[str, Any]
SIZES = (28, 56, 112, 224)  # pixels that the network sees on a side
PATCHES = 14  # on a side, of a Vision Transformer
SEEN = {False: 15_000, True: 2_000_000}  # images that a run sees: without an accelerator, with one
EPOCHS = {False: (20, 200), True: (100, 800)}
HELD_OUT = 5  # every so many-th labelled image is held out where there are no test data


@dataclasses.dataclass(frozen=True)
class OwnImages:
    """What is known of the images and of the machine, and what follows from it.

    Attributes:
      images: how many there are to train on.
      side: the median of their shorter sides in pixels.
      accelerated: whether there is a GPU or a TPU.
      limit: the most pixels on a side that the network is to see; None for 112 on a CPU and 224
        elsewhere.
    """

    images: int
    side: int
    accelerated: bool = False
    limit: int | None = None

    @property
    def size(self) -> int:
        """Pixels on a side that the network sees: the largest of `SIZES` that the images have."""
        limit = self.limit or (224 if self.accelerated else 112)
        return max((size for size in SIZES if size <= min(self.side, limit)), default=SIZES[0])

    def scaled(self, pixels: int) -> int:
        """What a length in a recipe for 224 pixels becomes."""
        return pixels * self.size // 224

    @property
    def batch_size(self) -> int:
        """Images of a step: a power of two, 256 where there are ten steps of that in an epoch."""
        largest = 256 if self.images >= 2560 and self.accelerated else 64
        wanted = [size for size in (256, 128, 64, 32, 16, 8, 4, 2) if size <= largest]
        return next((size for size in wanted if 4 * size <= self.images), 2)

    @property
    def epochs(self) -> int:
        """Enough for `SEEN` images, within `EPOCHS`."""
        least, most = EPOCHS[self.accelerated]
        return min(max(SEEN[self.accelerated] // self.images, least), most)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the images."""
        return max(self.images // self.batch_size, 1)

    @property
    def depth(self) -> int:
        """Layers of a ResNet: 50 where many images and a GPU or TPU are there."""
        return 50 if self.accelerated and self.images >= 20_000 else 18

    @property
    def base_channels(self) -> int:
        """Width of a ResNet's stem: half of the usual on a CPU."""
        return 64 if self.accelerated else 32

    @property
    def width(self) -> int:
        """Features of the ResNet."""
        return self.base_channels * (32 if self.depth == 50 else 8)

    def resnet(self, **fields: Any) -> Config:
        """The ResNet; small images get a stem of 3 x 3 pixels, which halves once and not twice."""
        small = dict(cifar_stem=True, cifar_stem_stride=2) if self.size < 112 else {}
        return resnet(self.depth, base_channels=self.base_channels, **small, **fields)

    @property
    def arch(self) -> Config:
        """Settings of a Vision Transformer: ViT-S, or half as wide and as deep on a CPU."""
        width, layers, heads = (384, 12, 6) if self.accelerated else (192, 6, 3)
        return dict(
            embed_dims=width, num_layers=layers, num_heads=heads, feedforward_channels=4 * width
        )

    @property
    def patch(self) -> int:
        """Pixels on a side of a patch."""
        return self.size // PATCHES

    @property
    def stages(self) -> int:
        """Of a Swin Transformer whose last map has 6 x 6 tokens, as in SimMIM's recipe."""
        return SIZES.index(self.size) + 1

    @property
    def clusters(self) -> int:
        """Of DeepCluster, ODC and SwAV: a dozen images each."""
        return min(max(self.images // 12, 4), 10_000)

    @property
    def components(self) -> int:
        """Directions that DeepCluster keeps: at most 64, and far fewer than images."""
        return min(64, max(self.images // 4, 2))

    @property
    def now_and_then(self) -> int:
        """Epochs between two clusterings: twenty in a run."""
        return max(self.epochs // 20, 1)

    @property
    def negatives(self) -> int:
        """Rows of the bank that NPID compares an image with: half of them, at most 4096."""
        return min(max(self.images // 2, 1), 4096)

    @property
    def queue(self) -> int:
        """Negatives that MoCo and DenseCL remember: a quarter of the images, in whole batches."""
        batches = min(self.images // 4, 65_536) // self.batch_size
        return max(batches, 1) * self.batch_size

    @property
    def lr(self) -> float:
        """AdamW's rate: 1e-3 for 64 images a step, and with the root of their number."""
        return 1e-3 * (self.batch_size / 64) ** 0.5

    def run(self, optimizer: Config | None = None, size: int | None = None) -> Config:
        """All of a config beside model, views and data.

        Args:
          optimizer: None for AdamW with a weight decay of 1e-4.
          size: what the evaluation shows of an image, if not `size`.
        """
        shown = size or self.size
        return dict(
            canvas=2 * self.size,
            eval_view=policies.evaluation(shown, shown * 8 // 7),  # as 256 is to 224
            batch_size=self.batch_size,
            epochs=self.epochs,
            optimizer=optimizer or dict(type='AdamW', lr=self.lr, weight_decay=1e-4),
            schedule=dict(type='WarmupCosine', warmup_epochs=self.epochs / 10),
            evaluate=dict(
                every_epochs=max(self.epochs // 5, 1),
                neighbors=min(max(self.images // 50, 1), 20),
            ),
        )

    def sentences(self, config: Config) -> list[str]:
        """What holds in a config made by these rules, each with the fields that change it."""
        where = 'a GPU or TPU' if self.accelerated else 'a CPU'
        size = config['eval_view'].get('size', self.size)
        batch, epochs, optimizer = config['batch_size'], config['epochs'], config['optimizer']
        rate = optimizer.get('lr', optimizer.get('learning_rate'))
        speed = f' at {rate:.2g}' if isinstance(rate, int | float) else ''
        steps = max(self.images // batch, 1)
        return [
            f'{counted(self.images, "image")} to train on, of {self.side} pixels on the shorter '
            f'side (median), on {where}:',
            f'  the network sees {size} x {size} pixels (--size), of canvases of '
            f'{config["canvas"]} '
            '(--config.canvas)',
            f'  batches of {batch} (--config.batch_size), {counted(epochs, "epoch")} of '
            f'{counted(steps, "step")} (--config.epochs), {optimizer["type"]}{speed} '
            '(--config.optimizer.lr)',
        ]
