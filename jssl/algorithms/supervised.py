"""Image classification: how a pre-trained backbone is judged, frozen or trained on with labels.

A linear probe trains a head on a frozen backbone (Zhang, Isola, Efros 2016, arXiv 1603.08511,
section 3.2); fine-tuning trains both.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, one_view
from jssl.augment.ops.mixing import cutmix, mix, mixup
from jssl.checks import NonNegative
from jssl.errors import JsslError
from jssl.heads.linear_cls import classes
from jssl.kinds import Backbone, Head, Neck
from jssl.losses.classification import top_k_hits
from jssl.networks import evaluate, forward

TOP = 5


class Classifier(nn.Module):
    """Backbone, neck if any, and head as one module: images (B, H, W, C) -> logits.

    Attributes:
      backbone: images -> features.
      head: features -> logits.
      neck: features -> features; None hands those of the backbone on.
      frozen: whether the backbone runs in evaluation mode always, and has no gradient.
    """

    backbone: nn.Module
    head: nn.Module
    neck: nn.Module | None = None
    frozen: bool = False

    def __call__(self, images: jax.Array, train: bool = True) -> jax.Array:
        """Logits (B, K), or (B, heads, K) of a head that has several."""
        features = self.backbone(images, train=train and not self.frozen)
        if self.frozen:
            features = jax.lax.stop_gradient(features)
        if self.neck is not None:
            features = self.neck(features, train=train)
        return self.head(features, train=train)


@dataclasses.dataclass(frozen=True)
class ImageClassifier(Algorithm):
    """A classifier of images; `batch` holds one view (B, H, W, C) and `label` (B,).

    Attributes:
      backbone: images -> features.
      head: features -> logits (B, K), or (B, heads, K); its field `loss` is what is minimised, a
        function of logits (B, K) and of labels (B,) or, mixed, of targets (B, K).
      neck: features -> features; None hands those of the backbone to the head.
      frozen_backbone: train neck and head alone. The backbone's batch norms use, and keep, their
        running statistics; its parameters are not decayed either.
      mixup: alpha of Mixup (Zhang et al. 2018); 0 for none.
      cutmix: alpha of CutMix (Yun et al. 2019); 0 for none. With both, each batch gets one of them,
        with equal probability.

    Raises:
      JsslError: for a negative alpha, or a head with fewer classes than the data of the run.
    """

    backbone: Backbone
    head: Head
    neck: Neck | None = None
    frozen_backbone: bool = False
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0

    predicts = 'classes'

    @property
    def network(self) -> Classifier:
        """Backbone, neck and head as one module."""
        head = self.head
        if self.classes != getattr(head, 'num_classes', self.classes):
            head = head.clone(num_classes=self.classes)
        return Classifier(self.backbone, head, self.neck, self.frozen_backbone)

    @property
    def classes(self) -> int | None:
        """How many logits there are: what the head says, else what the data of the run have."""
        told = None if self.run is None else self.run.classes
        return getattr(self.head, 'num_classes', None) or told

    def __post_init__(self) -> None:
        """Refuses a head with too few classes, before any compute is spent."""
        super().__post_init__()
        needed = None if self.run is None else self.run.classes
        if self.classes is not None and needed is not None and self.classes < needed:
            raise JsslError(
                f'config.model.head.num_classes={self.classes}, but the data have {needed} '
                f'classes; set config.model.head.num_classes={needed}, or leave it out.'
            )

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of all parts; the state is their batch statistics."""
        variables = self.network.init(rng, _image(batch), train=False)
        return variables['params'], {'batch_stats': variables.get('batch_stats', {})}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds the key of drop path, and mixes images and labels where the recipe does."""
        del state
        noise, key = jax.random.split(rng)
        batch = {**batch, 'drop_path': noise}
        if not self.mixup and not self.cutmix:
            return batch
        images, targets = self._mix(
            key, _image(batch), jax.nn.one_hot(_label(batch), classes(self.classes))
        )
        return {**batch, 'views': (images,), 'target': targets}

    def _mix(
        self, key: jax.Array, images: jax.Array, targets: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        if not self.cutmix:
            return mixup(key, images, targets, self.mixup)
        if not self.mixup:
            return cutmix(key, images, targets, self.cutmix)
        return mix(key, images, targets, self.mixup, self.cutmix)

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The head's loss of labels or mixed targets; that of several heads is their sum."""
        noise = batch.get('drop_path')
        logits, stats = forward(
            self.network, params, state['batch_stats'], _image(batch), drop_path=noise
        )
        targets = batch.get('target', _label(batch))
        if logits.ndim == 2:
            loss, metrics = self._scores(logits, targets)
        else:
            each = [self._scores(logits[:, i], targets) for i in range(logits.shape[1])]
            loss = jnp.stack([part for part, _ in each]).sum()
            metrics = {
                f'{name}.{i + 1}': value
                for i, (part, scores) in enumerate(each)
                for name, value in {'loss': part, **scores}.items()
            }
        return loss, ({**state, 'batch_stats': stats}, metrics)

    def _scores(self, logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, Metrics]:
        """Loss, and how often the label (or the larger part of a mixture) comes first."""
        loss = self.head.loss(logits, targets)
        labels = targets if targets.ndim == 1 else targets.argmax(axis=1)
        places = [1, TOP] if logits.shape[1] > TOP else [1]
        return loss, {f'top{k}': jnp.mean(top_k_hits(logits, labels, k)) for k in places}

    def predict(self, params: Params, state: State, batch: Batch) -> jax.Array:
        """Logits (B, K), or (B, heads, K)."""
        return evaluate(self.network, params, state['batch_stats'], _image(batch))

    @property
    def needs_weights(self) -> str:
        """Of a backbone that stays as it is."""
        if not self.frozen_backbone:
            return ''
        return 'config.model.frozen_backbone would judge a random network'

    def is_frozen(self, name: str) -> bool:
        """Whether the parameter `name` is left as it is."""
        return (self.frozen_backbone and name.startswith('backbone.')) or super().is_frozen(name)


def _image(batch: Batch) -> jax.Array:
    return one_view(batch, 'ImageClassifier')


def _label(batch: Batch) -> Any:
    if 'label' not in batch:
        raise JsslError(
            'ImageClassifier learns from labels, and config.data has none; name a labelled data '
            'set, such as dict(type="TFDS", ...) or a Folder with one sub-folder a class.'
        )
    return batch['label']
