"""VICReg of its authors' repository."""

from jssl.algorithms import VICReg
from jssl.backbones import ResNet
from jssl.necks import NonLinearNeck
from jssl.optim.optimizers import TrustRatioLARS
from tests import golden
from tests.families.family import Family


def vicreg(saved: golden.File) -> VICReg:
    """VICReg; the hidden layers of its projection are as wide as each other."""
    model, options = golden.plain(saved.meta['model']), golden.plain(saved.meta['options'])
    depth = int(model['arch'].removeprefix('resnet'))
    hidden, *more = (int(width) for width in model['mlp'].split('-'))
    assert set(more[:-1]) <= {hidden}
    widths = (2048 if depth >= 50 else 512, hidden, more[-1])
    return VICReg(
        ResNet(depth, out_indices=(4,), zero_init_residual=model['zero_init_residual']),
        NonLinearNeck(*widths, len(more) + 1, with_bias=True, with_last_bn=False),
        invariance_weight=options['sim_coeff'],
        variance_weight=options['std_coeff'],
        covariance_weight=options['cov_coeff'],
    )


def lars_of_vicreg(meta: golden.Meta) -> TrustRatioLARS:
    """Vectors neither decay nor adapt."""
    settings = golden.plain(meta['optim'])
    return TrustRatioLARS(
        lr=1.0,
        momentum=settings['momentum'],
        eta=settings['eta'],
        weight_decay=settings['weight_decay'],
        vectors={'decay_mult': 0.0, 'lars_exclude': True},
    )


# Its projection is a list of layers there: linear, batch norm and ReLU, over and over.
PROJECTOR = {
    f'neck.{kind}{index}': f'projector.{3 * index + place}'
    for index in range(8)
    for place, kind in enumerate(('fc', 'bn'))
}


FAMILY = Family(
    vicreg,
    {
        **{
            f'{place}.{here}': there
            for place in ('params', 'state.batch_stats')
            for here, there in {**PROJECTOR, 'backbone': 'backbone'}.items()
        },
    },
    metrics={'repr': 'invariance', 'std': 'variance', 'cov': 'covariance'},
    optimizer=lars_of_vicreg,
    # the sizes of which the rates were made
    unread=('options.batch_size', 'optim.type', 'optim.[!mwei]*', 'optim.epochs'),
)
