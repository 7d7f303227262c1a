"""The contract every algorithm fulfils, and the state a training run carries from step to step.

An algorithm is a frozen dataclass that holds modules and gives pure functions over
`(params, state, batch)`. To write one, subclass `Algorithm`, write `init` and `loss`, and hand it
to `jssl.fit` or name it in a config as ``'my_module:MyAlgorithm'``. `jssl/algorithms/simclr.py` is
the shortest complete example.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import flax.struct
import jax
import jax.numpy as jnp

from jssl.checks import Checked
from jssl.errors import JsslError
from jssl.layers.pooling import pool_features
from jssl.networks import evaluate
from jssl.reference import Hooks, Reference

Params = Mapping[str, Any]  # what the optimizer trains
State = Mapping[str, Any]  # everything else the algorithm carries, under names a reader knows
# `views`: tuple of float (B, h, w, C); `index` (B,); `step`, of the run; `label` (B,) if any; and
# what `draw` adds, such as `target`: the labels that a pretext task or a clustering gives.
Batch = Mapping[str, Any]
Metrics = Mapping[str, jax.Array]  # a flat dict of scalars
Keeps = Literal['student', 'teacher']
# Where in ``{'params': …, 'state': …}`` parameters and batch statistics are of what a run keeps.
KEPT: Mapping[Keeps, tuple[tuple[str, ...], tuple[str, ...]]] = {
    'student': (('params',), ('state', 'batch_stats')),
    'teacher': (('state', 'teacher', 'params'), ('state', 'teacher', 'batch_stats')),
}


@flax.struct.dataclass
class TrainState:
    """The whole world of a run: what is not in here cannot influence the next step.

    Attributes:
      step: int32 scalar, the number of optimizer steps taken.
      params: what the optimizer trains.
      state: what the algorithm carries besides (`batch_stats`, `teacher`, `queue`, ...).
      opt_state: what the optimizer carries.
      rng: the run's typed PRNG key; it never changes, every step folds its number in.
    """

    step: jax.Array
    params: Any
    state: Any
    opt_state: Any
    rng: jax.Array


@dataclasses.dataclass(frozen=True)
class Run:
    """How long a run is and on how many images: what momentum schedules and banks depend on.

    Attributes:
      samples: images in the training set.
      steps_per_epoch: optimizer steps in an epoch.
      epochs: length of the run.
      classes: one more than the largest label of the training set; None where it does not know any.
    """

    samples: int
    steps_per_epoch: int
    epochs: int
    classes: int | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.steps_per_epoch * self.epochs


@dataclasses.dataclass(frozen=True)
class Algorithm(Checked):
    """A self-supervised method as pure functions; `init` and `loss` are what a subclass must write.

    `loss` is deterministic: everything random enters through `batch`, put there by the views and
    by `draw`. That is what makes replay, parity tests and a user's own loop simple.

    Attributes:
      reference: where a checkpoint of MMSelfSup has what is in the state, see `Reference.keys`.
      predicts: what `predict` gives, see there.
      keeps: whose backbone is the result of the training, by which a run is evaluated and which
        features, exports and `config.pretrained` take: what the optimizer trains, or the `teacher`
        in the state.
      run: how long the run is and on how many images; an `Experiment`, and so `jssl.fit`, sets it.
    """

    UNSET: ClassVar[tuple[str, ...]] = ('run',)  # fields that no config sets
    reference: ClassVar[Reference] = Reference()
    predicts: ClassVar[Literal['classes', 'targets', 'pixels', 'tokens', 'features'] | None] = None
    keeps: ClassVar[Keeps] = 'student'
    run: Run | None = dataclasses.field(default=None, kw_only=True, repr=False)

    @property
    def known_run(self) -> Run:
        """The run, for a schedule or a memory that depends on it.

        Raises:
          JsslError: if nobody said it.
        """
        if self.run is None:
            raise JsslError(
                f'{type(self).__name__} depends on how long the run is or on how many images, and '
                'was not told; use dataclasses.replace(algorithm, run=jssl.Run(samples=1000, '
                'steps_per_epoch=10, epochs=100)) with your numbers, as jssl.fit does.'
            )
        return self.run

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Fresh parameters and state for batches shaped like `batch`."""
        raise NotImplementedError(f'{type(self).__name__} must define init(rng, batch)')

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds to `batch` what is random and not augmentation: masks, negatives, permutations."""
        del rng, state
        return batch

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The scalar to minimise, the state after this batch, and scalars worth watching."""
        raise NotImplementedError(f'{type(self).__name__} must define loss(params, state, batch)')

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        """What follows the optimizer's update inside the same step, whose number is `step`."""
        del step
        return params, state

    def refreshes(self, epoch: int) -> bool:
        """Whether `refresh` runs before `epoch` (from 0); for no algorithm unless it says so."""
        del epoch
        return False

    def refresh_feat(self, params: Params, state: State, images: jax.Array) -> jax.Array:
        """The features (B, D) of normalised `images` for `refresh`; those of the backbone."""
        return self.extract_feat(params, state, images)

    def sampler_labels(self, state: State) -> jax.Array | None:
        """Labels (N,) that a sampler by class goes by until the next refresh; None for the data's.

        They may change in `refresh` alone, or a resumed run would see another order.
        """
        del state
        return None

    def cluster_labels(self, state: State) -> jax.Array | None:
        """The cluster (N,) of each training image, whose changes a run logs; None for none."""
        del state
        return None

    def refresh(
        self, params: Params, state: State, features: jax.Array, rng: jax.Array
    ) -> tuple[Params, State]:
        """What happens between epochs, given features (N, D) of the whole training set.

        Compiled as a whole. A parameter that it replaces starts with a fresh optimizer state; one
        that it returns as it came keeps its own.
        """
        del features, rng
        return params, state

    def kept(self, params: Params, state: State) -> tuple[Params, State]:
        """Parameters and batch statistics, by part, of what `keeps` says; {} for none."""
        tree = {'params': params, 'state': state}
        weights, stats = (part_of(tree, place) for place in KEPT[self.keeps])
        return weights, stats

    def extract_feat(self, params: Params, state: State, images: jax.Array) -> jax.Array:
        """Backbone features (B, D) of normalised `images` (B, H, W, C), pooled, in eval mode.

        Raises:
          JsslError: field or parameters have no backbone, and the subclass does not define this.
        """
        backbone, (weights, stats) = getattr(self, 'backbone', None), self.kept(params, state)
        if backbone is None or not (isinstance(weights, Mapping) and 'backbone' in weights):
            raise JsslError(
                f'{type(self).__name__} has no backbone, neither as a field nor among its '
                'parameters, for features to judge it by; let it define '
                'extract_feat(self, params, state, images), which returns them as (B, D).'
            )
        parts = weights['backbone'], stats.get('backbone', {})
        return pool_features(evaluate(backbone, *parts, images))

    def predict(self, params: Params, state: State, batch: Batch) -> Any:
        """What `predicts` says of a batch as `loss` takes it, in evaluation mode.

        - 'classes': logits (B, K), or (B, heads, K), of the classes of the data, `batch['label']`;
          a run then reports their accuracy in place of kNN's.
        - 'targets': logits (B, K) of what `draw` gives as `batch['target']`.
        - 'pixels': images (B, H, W, C), normalised as the view was, and bool (B, H, W), True for
          pixels that the network did not see; a report shows them.
        - 'tokens': int32 (B, n), of the masked patches.
        - 'features': (B, ..., D), of each cell or patch.

        Raises:
          JsslError: for an algorithm that predicts nothing.
        """
        raise JsslError(
            f'{type(self).__name__} predicts nothing; use extract_feat(params, state, images) for '
            'its features.'
        )

    def diagnose(self, metrics: Mapping[str, float]) -> str | None:
        """What is wrong by what `loss` gave as `metrics`, in words with a remedy; None for nothing.

        A run asks after every evaluation, for its log and its report.

        Args:
          metrics: their means over the latest lines of the log; those that a run adds are among
            them.
        """
        del metrics
        return None

    @property
    def needs_weights(self) -> str:
        """Why a run cannot begin without `config.pretrained`, a clause; nothing where it can."""
        return ''

    @property
    def caveat(self) -> str:
        """What one has to know to read the predictions, a sentence or nothing."""
        return ''

    def is_frozen(self, name: str) -> bool:
        """Whether the parameter `name` is left as it is: not trained, and not decayed either.

        Args:
          name: its path in the parameters, such as ``backbone.layer1.0.conv1.kernel``.
        """
        part, _, rest = name.partition('.')
        says = getattr(getattr(self, part, None), 'is_frozen', None)
        return says is not None and says(rest)

    def get_layer_depth(self, name: str) -> tuple[int, int]:
        """The depth of the parameter `name` and the number of depths, for layer-wise rates.

        Raises:
          JsslError: if the backbone cannot tell the depth of its layers.
        """
        depth_of = getattr(getattr(self, 'backbone', None), 'get_layer_depth', None)
        if depth_of is None:
            raise JsslError(
                'optimizer.layer_decay_rate needs a backbone that knows the depth of its layers, '
                'such as VisionTransformer or SwinTransformer; choose one or leave it out.'
            )
        part, _, rest = name.partition('.')
        last = depth_of('')[1]
        return depth_of(rest) if part == 'backbone' else (last - 1, last)

    @classmethod
    def hook_settings(cls, hooks: Hooks, model: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that `custom_hooks` of a config of MMSelfSup set; others are refused.

        Args:
          hooks: those of the config, to be taken by name.
          model: the algorithm's dict in jssl's terms.
        """
        del hooks, model
        return {}

    @property
    def with_neck(self) -> bool:
        """Whether the algorithm has a neck (MMSelfSup's property of the same name)."""
        return getattr(self, 'neck', None) is not None

    @property
    def with_head(self) -> bool:
        """Whether the algorithm has a head."""
        return getattr(self, 'head', None) is not None

    @property
    def with_target_generator(self) -> bool:
        """Whether the algorithm has a target generator."""
        return getattr(self, 'target_generator', None) is not None


def part_of(tree: Any, place: Sequence[str]) -> Any:
    """What is at `place` in nested dicts; {} where nothing is."""
    return functools.reduce(lambda found, name: found.get(name, {}), place, tree)


def image_batch(images: jax.Array) -> Batch:
    """Normalised images (B, H, W, C) as a batch of one view, for what follows the training."""
    step = jnp.zeros((), jnp.int32)
    return {'views': (images,), 'index': jnp.arange(len(images)), 'step': step}


def one_view(batch: Batch, algorithm: str) -> jax.Array:
    """The only view of a batch, (B, H, W, C).

    Raises:
      JsslError: if there are more; the message names `algorithm`.
    """
    if len(batch['views']) != 1:
        raise JsslError(
            f'{algorithm} needs one view of each image and got {len(batch["views"])}; set '
            'config.views to a policy of one, such as MultiView with copies=1.'
        )
    return batch['views'][0]


def two_views(batch: Batch, algorithm: str) -> tuple[jax.Array, jax.Array]:
    """The two views of a batch, each (B, H, W, C).

    Raises:
      JsslError: if there are fewer or more; the message names `algorithm`.
    """
    if len(batch['views']) != 2:
        raise JsslError(
            f'{algorithm} needs two views of each image and got {len(batch["views"])}; set '
            'config.views to a policy of two, such as MultiView with copies=2, or Pair.'
        )
    first, second = batch['views']
    return first, second


def interleaved(views: Sequence[jax.Array]) -> jax.Array:
    """The V views of each image beside each other, a0 b0 a1 b1 and so on, (V * B, H, W, C).

    In one pass through a network they share the statistics of its batch norms.

    Raises:
      JsslError: if they differ in size.

    Examples:
      >>> import jax.numpy as jnp
      >>> first, second = jnp.zeros((2, 1, 1, 1)), jnp.ones((2, 1, 1, 1))
      >>> print(interleaved((first, second)).ravel())
      [0. 1. 0. 1.]
    """
    sizes = {view.shape[1:3] for view in views}
    if len(sizes) > 1:
        raise JsslError(
            f'views of {" and ".join(f"{h} x {w}" for h, w in sorted(sizes))} pixels cannot pass '
            'through the network together; give all views in config.views the same size.'
        )
    return jnp.stack(views, axis=1).reshape(-1, *views[0].shape[1:])
