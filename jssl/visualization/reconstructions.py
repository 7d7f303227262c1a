"""What a masked image model makes of images, as pictures and as numbers."""

from typing import NamedTuple

import numpy as np

GRAY = 128  # what stands for hidden pixels


class Reconstructions(NamedTuple):
    """Images and what a model makes of them.

    Attributes:
      pictures: uint8 (N, 3, H, W, C): original, masked input, reconstruction.
      psnr: of the reconstructions on all hidden pixels, in dB.
      mean_psnr: of the mean of the originals there, in dB: what needs no model.
      caveat: what else there is to know of the numbers, a sentence or ''.
    """

    pictures: np.ndarray
    psnr: float
    mean_psnr: float
    caveat: str

    @property
    def summary(self) -> str:
        """The numbers in a sentence or two."""
        sentence = (
            f'PSNR on the hidden pixels: {self.psnr:.1f} dB; the mean image reaches '
            f'{self.mean_psnr:.1f} dB.'
        )
        return ' '.join(filter(None, (sentence, self.caveat)))


def compare(
    originals: np.ndarray, painted: np.ndarray, hidden: np.ndarray, caveat: str = ''
) -> Reconstructions:
    """Pictures and numbers of reconstructions.

    Args:
      originals: (N, H, W, C), on the scale 0 to 255.
      painted: reconstructions, the same shape and scale; what was visible is taken from the
        originals.
      hidden: bool (N, H, W).
      caveat: see `Reconstructions`.
    """
    gone = hidden[..., None]
    cells = [originals, np.where(gone, GRAY, originals), np.where(gone, painted, originals)]
    mean = np.broadcast_to(originals.mean(axis=0), originals.shape)
    return Reconstructions(
        np.rint(np.stack(cells, axis=1)).astype(np.uint8),
        psnr(painted, originals, hidden),
        psnr(mean, originals, hidden),
        caveat,
    )


def psnr(images: np.ndarray, originals: np.ndarray, hidden: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over hidden pixels: 10 log10(255^2 / mean squared error).

    Args:
      images: (N, H, W, C), on the scale 0 to 255.
      originals: the same.
      hidden: bool (N, H, W).
    """
    error = (np.asarray(images, np.float64) - originals)[hidden] ** 2
    return float(10 * np.log10(255**2 / max(error.mean(), 1e-10)))
