"""Several views of one image: copies of one policy, pairs of two, crops of several sizes."""

import dataclasses

import jax
import jax.numpy as jnp

from jssl.augment.views import checks
from jssl.augment.views.view import View
from jssl.checks import Checked, Count, Natural, Side
from jssl.data.canvas import Canvas

Views = dict[str, tuple[jax.Array, ...]]


def draw_copies(view: View, keys: jax.Array, canvas: Canvas) -> tuple[jax.Array, ...]:
    """One view a key; the policy is traced once for all of them."""
    return tuple(jax.vmap(view, in_axes=(0, None))(keys, canvas))


@dataclasses.dataclass(frozen=True)
class MultiView(Checked):
    """Several views of one image, drawn independently from the same policy.

    Attributes:
      view: the policy.
      copies: how many views.

    Raises:
      JsslError: `copies` is not a positive whole number or `view` not a policy.
    """

    view: View
    copies: Count = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.require(callable(self.view), self, 'view', checks.POLICY)

    def __call__(self, key: jax.Array, canvas: Canvas) -> Views:
        """Draw the views.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          `{'views': (view, …)}`, each float32 `(size, size, C)`.
        """
        return {'views': draw_copies(self.view, jax.random.split(key, self.copies), canvas)}


@dataclasses.dataclass(frozen=True)
class Pair(Checked):
    """Two views of one image from two policies: the asymmetric pair of BYOL (Grill et al. 2020).

    Attributes:
      first, second: the policies.

    Raises:
      JsslError: one of them is not a policy.
    """

    first: View
    second: View

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ('first', 'second'):
            checks.require(callable(getattr(self, field)), self, field, checks.POLICY)

    def __call__(self, key: jax.Array, canvas: Canvas) -> Views:
        """Draw the views.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          `{'views': (first, second)}`, each float32 `(size, size, C)` of its policy's size.
        """
        first, second = jax.random.split(key)
        return {'views': (self.first(first, canvas), self.second(second, canvas))}


@dataclasses.dataclass(frozen=True)
class MultiCrop(Checked):
    """A few large crops and many small ones of one image (Caron et al. 2020, section 3.2).

    Attributes:
      large, small: the policies.
      large_copies, small_copies: how many views of each.

    Raises:
      JsslError: a number of copies is not a positive whole number, or a policy not a policy.
    """

    large: View
    small: View
    large_copies: Count = 2
    small_copies: Count = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ('large', 'small'):
            checks.require(callable(getattr(self, field)), self, field, checks.POLICY)

    def __call__(self, key: jax.Array, canvas: Canvas) -> Views:
        """Draw the views.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          `{'views': (large, …, small, …)}`, each float32 `(size, size, C)` of its policy's size.
        """
        keys = jax.random.split(key, self.large_copies + self.small_copies)
        large = draw_copies(self.large, keys[: self.large_copies], canvas)
        small = draw_copies(self.small, keys[self.large_copies :], canvas)
        return {'views': large + small}


@dataclasses.dataclass(frozen=True)
class GlobalLocal(Checked):
    """Two global crops of two policies, and local ones of a third (Caron et al. 2021, DINO).

    Attributes:
      first, second: the policies of the global crops.
      local: that of the local ones.
      local_copies: how many there are; 0 for none.
      plain_size: side of copies of the global crops, cut out and mirrored as these and with their
        colours as they are, for DINOv3's Gram teacher; None for none.

    Raises:
      JsslError: the number of copies is negative or no whole number, or a policy not a policy.
    """

    first: View
    second: View
    local: View
    local_copies: Natural = 8
    plain_size: Side | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ('first', 'second', 'local'):
            checks.require(callable(getattr(self, field)), self, field, checks.POLICY)

    def __call__(self, key: jax.Array, canvas: Canvas) -> Views:
        """Draw the views.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          `{'views': (first, second, local, …)}`, each float32 `(size, size, C)` of its policy's
          size; with `plain_size` also the two `'plain_views'`.
        """
        first, second, *local = jax.random.split(key, 2 + self.local_copies)
        pair = (self.first(first, canvas), self.second(second, canvas))
        small = draw_copies(self.local, jnp.stack(local), canvas) if local else ()
        if self.plain_size is None:
            return {'views': pair + small}
        plain = (self._plain(self.first)(first, canvas), self._plain(self.second)(second, canvas))
        return {'views': pair + small, 'plain_views': plain}

    def _plain(self, view: View) -> View:
        """The same crop for the same key: what is left out does not change the other draws."""
        size = self.plain_size or view.size
        return dataclasses.replace(view, size=size, jitter=0.0, gray=0.0, blur=0.0, solarize=0.0)
