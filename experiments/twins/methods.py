"""SimCLR, BYOL, SwAV, MAE and DINO in PyTorch: a module whose output is the loss of its batch.

Convolutions are in `channels_last`. Views are tuples of (B, 3, H, W), as the loader of a user would
give them, those of one size side by side.
"""

import copy
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import convert_conv2d_weight_memory_format

from experiments.twins.known import check
from experiments.twins.resnet import Neck, ResNet, SwAVNeck
from experiments.twins.vit import Decoder, DINOHead, ViT
from jssl import algorithms
from jssl.algorithm import Algorithm, Params, State
from jssl.errors import JsslError
from jssl.interop.mmselfsup import export_state

Views = tuple[Tensor, ...]


class Twin(nn.Module):
    """What the twins share; a subclass makes its modules of `ours` and computes the loss.

    Args:
      ours: the algorithm; it gives all sizes and constants.

    Raises:
      JsslError: it has something that the twin lacks.
    """

    draws: ClassVar[tuple[str, ...]] = ()  # names of what `draw` gives

    def __init__(self, ours: Any) -> None:
        check(ours)
        super().__init__()
        self.ours = ours

    def load(self, params: Params, state: State) -> None:
        """Copies our parameters and batch statistics, and the teacher from these.

        Raises:
          JsslError: a weight has no place in the twin or is missing.
        """
        weights = export_state(params, {'batch_stats': state.get('batch_stats', {})})
        tensors = {key: torch.tensor(np.ascontiguousarray(value)) for key, value in weights.items()}
        missing, unexpected = self.load_state_dict(tensors, strict=False)
        missing = [key for key in missing if not key.endswith('num_batches_tracked')]
        if missing or unexpected:
            raise JsslError(f'The twin lacks {unexpected[:3]} and was not given {missing[:3]}.')
        convert_conv2d_weight_memory_format(self, torch.channels_last)
        self.begin()

    def begin(self) -> None:
        """What follows the weights, such as a teacher that is a copy of them."""

    def draw(self, images: int) -> dict[str, Tensor]:
        """What is random and not augmentation, under the names that our batch has for it."""
        del images
        return {}

    def before(self, step: int) -> None:
        """What precedes the loss of a step."""

    def after(self, step: int) -> None:
        """What follows the optimizer in a step."""

    def _momentum(self, step: int) -> float:
        """Half a cosine from the base to 1."""
        share = min(step / self.ours.known_run.steps, 1)
        return 1 - (1 - self.ours.base_momentum) * (1 + math.cos(math.pi * share)) / 2

    def _follow(self, teacher: nn.Module, student: Iterable[Tensor], momentum: float) -> None:
        """Moves the teacher's parameters towards the student's."""
        with torch.no_grad():
            torch._foreach_lerp_(list(teacher.parameters()), list(student), 1 - momentum)


class SimCLR(Twin):
    """The twin of `jssl.algorithms.SimCLR`."""

    def __init__(self, ours: Any) -> None:
        super().__init__(ours)
        self.backbone, self.neck = ResNet(ours.backbone), Neck(ours.neck)

    def forward(self, views: Views) -> Tensor:
        """NT-Xent of two views."""
        head, images = self.ours.head, len(views[0])
        z = functional.normalize(self.neck(self.backbone(torch.cat(views))))
        logits = (z @ z.T / head.temperature).fill_diagonal_(-torch.inf)
        partner = torch.arange(2 * images, device=z.device).roll(images)
        return head.loss_weight * functional.cross_entropy(logits, partner)


class Predictor(nn.Module):
    """The twin of `jssl.heads.LatentPredictHead`."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.predictor = Neck(ours.predictor)

    def forward(self, x: Tensor) -> Tensor:
        """Projections (B, D) -> predictions (B, D)."""
        return self.predictor(x)


class BYOL(Twin):
    """The twin of `jssl.algorithms.BYOL`, whose teacher's batch statistics no loss reads."""

    def __init__(self, ours: Any) -> None:
        super().__init__(ours)
        self.backbone, self.neck = ResNet(ours.backbone), Neck(ours.neck)
        self.head = Predictor(ours.head)

    def begin(self) -> None:
        """The teacher is a copy of backbone and neck."""
        self.teacher = copy.deepcopy(nn.Sequential(self.backbone, self.neck)).requires_grad_(False)

    def before(self, step: int) -> None:
        """The teacher follows the student, whose copy it is in the first step."""
        student = itertools.chain(self.backbone.parameters(), self.neck.parameters())
        self._follow(self.teacher, student, self._momentum(step) if step else 0)

    def forward(self, views: Views) -> Tensor:
        """Twice the negative cosine of predictions and the other view's targets."""
        predictions = [self.head(self.neck(self.backbone(view))) for view in views]
        with torch.no_grad():
            targets = [self.teacher(view) for view in reversed(views)]
        cosines = map(functional.cosine_similarity, predictions, targets)
        return -2 * torch.stack([cosine.mean() for cosine in cosines]).sum()


class Prototypes(nn.Module):
    """The twin of `jssl.heads.SwAVHead`."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        prototypes = nn.Linear(ours.feat_dim, ours.num_prototypes, bias=False)
        self.loss = nn.ModuleDict({'prototypes': prototypes})

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors (B, D) -> scores (B, K)."""
        return self.loss['prototypes'](x)

    def normalise(self) -> None:
        """Puts the prototypes back on the sphere."""
        with torch.no_grad():
            for weight in self.loss.parameters():
                weight.copy_(functional.normalize(weight))


class SwAV(Twin):
    """The twin of `jssl.algorithms.SwAV` without a queue, as in the first epochs of a run."""

    def __init__(self, ours: Any) -> None:
        super().__init__(ours)
        self.backbone, self.neck = ResNet(ours.backbone), SwAVNeck(ours.neck)
        self.head = Prototypes(ours.head)

    def begin(self) -> None:
        """Puts the prototypes on the sphere."""
        self.head.normalise()

    def after(self, step: int) -> None:
        """Puts the prototypes back on the sphere."""
        del step
        self.head.normalise()

    def forward(self, views: Views) -> Tensor:
        """The swapped prediction of the first two views' codes by all others."""
        ours = self.ours.head
        features = torch.cat([self.backbone(crops) for crops in by_size(views)])
        scores = self.head(self.neck(features)).chunk(len(views))
        codes = [sinkhorn(scores[view], ours) for view in ours.crops_for_assign]
        logs = [functional.log_softmax(score / ours.temperature, dim=1) for score in scores]
        losses = [
            -(code * log).sum(1).mean()
            for view, code in zip(ours.crops_for_assign, codes, strict=True)
            for other, log in enumerate(logs)
            if other != view
        ]
        return torch.stack(losses).mean()


@torch.no_grad()
def sinkhorn(scores: Tensor, ours: Any) -> Tensor:
    """Codes (B, K) of scores (B, K), as SwAV's authors compute them."""
    codes = torch.exp(scores.to(torch.promote_types(scores.dtype, torch.float32)) / ours.epsilon)
    codes = codes / codes.sum()
    images, prototypes = codes.shape
    for _ in range(ours.sinkhorn_iterations):
        codes = codes / codes.sum(0, keepdim=True) / prototypes
        codes = codes / codes.sum(1, keepdim=True) / images
    return codes * images


class MAE(Twin):
    """The twin of `jssl.algorithms.MAE`."""

    draws = ('noise',)

    def __init__(self, ours: Any) -> None:
        super().__init__(ours)
        self.backbone, self.neck = ViT(ours.backbone), Decoder(ours.neck)

    def draw(self, images: int) -> dict[str, Tensor]:
        """The noise of every patch."""
        return {'noise': torch.rand(images, self.ours.neck.num_patches)}

    def forward(self, views: Views, noise: Tensor) -> Tensor:
        """The error of the masked patches of one view."""
        (images,) = views
        keep = self.ours.backbone.count_visible(noise.shape[1])
        order = noise.argsort(dim=1)
        ids_restore = order.argsort(dim=1)
        prediction = self.neck(self.backbone(images, order[:, :keep]), ids_restore)
        error = (prediction - self.target(images)).square().mean(dim=2)
        hidden = (ids_restore >= keep).to(error.dtype)
        return (error * hidden).sum() / hidden.sum()

    def target(self, images: Tensor) -> Tensor:
        """(B, L, p * p * 3), each patch standardised where the head says so."""
        side = self.ours.head.patch_size
        cells = images.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # B, 3, h, p, w, p
        patches = cells.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        if not self.ours.head.norm_pix:
            return patches
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
        return (patches - mean) / (variance + 1e-6).sqrt()


class DINO(Twin):
    """The twin of `jssl.algorithms.DINO` with vision transformers."""

    def __init__(self, ours: Any) -> None:
        super().__init__(ours)
        self.backbone, self.head = ViT(ours.backbone), DINOHead(ours.head)
        self.center: Tensor
        self.register_buffer('center', torch.zeros(ours.head.out_channels), persistent=False)

    def begin(self) -> None:
        """The teacher is a copy of both parts."""
        parts = {'backbone': self.backbone, 'head': self.head}
        self.teacher = copy.deepcopy(nn.ModuleDict(parts)).requires_grad_(False)

    def after(self, step: int) -> None:
        """The teacher follows the student."""
        student = itertools.chain(self.backbone.parameters(), self.head.parameters())
        self._follow(self.teacher, student, self._momentum(step))

    def forward(self, views: Views) -> Tensor:
        """The cross entropy of all crops with the teacher's other global view."""
        ours = self.ours
        with torch.no_grad():
            said = self.teacher['head'](self.teacher['backbone'](torch.cat(views[:2]))[:, 0])
            sharp = (said - self.center) / ours.teacher_temperature
            targets = sharp.softmax(dim=1).chunk(2)
            moved = self.center.lerp(said.mean(dim=0), 1 - ours.center_momentum)
            self.center.copy_(moved)
        tokens = torch.cat([self.backbone(crops)[:, 0] for crops in by_size(views)])
        logits = self.head(tokens).chunk(len(views))
        logs = [functional.log_softmax(crop / ours.temperature, dim=1) for crop in logits]
        losses = [
            -(target * log).sum(1).mean()
            for view, target in enumerate(targets)
            for other, log in enumerate(logs)
            if other != view
        ]
        return torch.stack(losses).mean()


def by_size(views: Views) -> list[Tensor]:
    """Views, all of one size after the other in one tensor."""
    runs = itertools.groupby(views, key=lambda view: view.shape)
    return [torch.cat(list(run)) for _, run in runs]


TWINS: Mapping[type[Algorithm], type[Twin]] = {
    algorithms.SimCLR: SimCLR,
    algorithms.BYOL: BYOL,
    algorithms.SwAV: SwAV,
    algorithms.MAE: MAE,
    algorithms.DINO: DINO,
}
