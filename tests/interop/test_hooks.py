"""What the `custom_hooks` of MMSelfSup's configs set: applied, told, or refused by name."""

from typing import Any

import pytest

from jssl.interop.mmselfsup import build_model
from tests.checks import refused
from tests.interop.shipped import DEEPCLUSTER, ODC, SHIPPED, SIMSIAM

CLUSTERING = dict(type='Kmeans', k=10000, pca_dim=256)
DEEPCLUSTER_HOOK: dict[str, Any] = dict(
    type='DeepClusterHook',
    extract_dataloader=dict(batch_size=128),
    clustering=CLUSTERING,
    unif_sampling=True,
    reweight=False,
    reweight_pow=0.5,
    initial=True,
    interval=1,
)
FIRST_CLUSTERS = DEEPCLUSTER_HOOK | dict(
    clustering=CLUSTERING | dict(pca_dim=-1),
    unif_sampling=False,
    reweight=True,
    init_memory=True,
    interval=9999999999,
)
ODC_HOOK: dict[str, Any] = dict(
    type='ODCHook',
    centroids_update_interval=7,
    deal_with_small_clusters_interval=3,
    evaluate_interval=50,
    reweight=False,  # which the reference does not read
    reweight_pow=0.5,
)
SWAV_HOOK: dict[str, Any] = dict(
    type='mmselfsup.SwAVHook',
    priority='VERY_HIGH',
    batch_size=32,
    epoch_queue_starts=12,
    crops_for_assign=[0, 1],
    feat_dim=128,
    queue_length=3840,
    frozen_layers_cfg=dict(prototypes=5005),
)


def built(model: dict[str, Any], *hooks: dict[str, Any]) -> tuple[Any, list[str]]:
    """The algorithm, and what is told."""
    said: list[str] = []
    return build_model(model, hooks, said.append), said


def test_simsiam_s_fixed_rate_is_told_as_the_optimizer_s() -> None:
    hook = dict(type='SimSiamHook', priority='HIGH', fix_pred_lr=True, lr=0.05)
    algorithm, (said,) = built(SIMSIAM, hook)
    assert algorithm == build_model(SIMSIAM)
    assert "optimizer={'lr': 0.05, 'custom_keys': {'predictor': {'fix_lr': True}}}" in said
    assert not built(SIMSIAM, hook | dict(fix_pred_lr=False, adjust_by_epoch=False))[1]


def test_what_is_told_is_printed_unless_asked_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    build_model(SIMSIAM, [dict(type='SimSiamHook', fix_pred_lr=True, lr=0.05)])
    assert 'custom_keys' in capsys.readouterr().out


def test_the_clusters_of_deepcluster_are_made_as_its_hook_says() -> None:
    algorithm, (said,) = built(DEEPCLUSTER, DEEPCLUSTER_HOOK)
    assert (algorithm.pca_dim, algorithm.refresh_every, algorithm.reweight) == (256, 1, False)
    assert "sampler={'type': 'ClassBalanced', 'num_classes': 10000}" in said
    other = dict(
        clustering=CLUSTERING | dict(pca_dim=-1), interval=5, reweight=True, unif_sampling=False
    )
    algorithm, said_then = built(DEEPCLUSTER, DEEPCLUSTER_HOOK | other)
    assert (algorithm.pca_dim, algorithm.refresh_every, algorithm.reweight) == (None, 5, True)
    assert not said_then


def test_what_a_hook_of_odc_does_happens_only_with_that_hook() -> None:
    plain, said = built(ODC, FIRST_CLUSTERS)
    assert not said
    assert (plain.centroid_interval, plain.small_cluster_interval) == (0, 0)
    assert not plain.reweight
    hooked, said = built(ODC, FIRST_CLUSTERS, ODC_HOOK)
    assert not said
    assert (hooked.centroid_interval, hooked.small_cluster_interval) == (7, 3)
    assert hooked.reweight


def test_a_queue_and_the_freezing_of_swav() -> None:
    algorithm, said = built(SHIPPED['SwAV'], SWAV_HOOK)
    assert (algorithm.queue_length, algorithm.queue_start_epoch) == (3840, 12)
    assert algorithm.freeze_prototypes == 5005
    assert not said


def test_densecl_s_dense_loss_waits_as_long_as_there() -> None:
    model = SHIPPED['DenseCL']
    assert built(model, dict(type='DenseCLHook', start_iters=7))[0].start_iters == 7
    assert built(model, dict(type='DenseCLHook'))[0].start_iters == 1000  # its default


@pytest.mark.parametrize(
    ('model', 'hook', 'said'),
    [
        (DEEPCLUSTER, DEEPCLUSTER_HOOK | dict(initial=False), 'initial=False'),
        (DEEPCLUSTER, DEEPCLUSTER_HOOK | dict(init_memory=True), 'init_memory=True'),
        (DEEPCLUSTER, DEEPCLUSTER_HOOK | dict(clustering=dict(type='PIC')), "'PIC'"),
        (DEEPCLUSTER, DEEPCLUSTER_HOOK | dict(clustering=dict(type='Kmeans', k=9)), 'k=9'),
        (DEEPCLUSTER, DEEPCLUSTER_HOOK | dict(reweight=True, reweight_pow=1.0), 'reweight=True'),
        (DEEPCLUSTER, DEEPCLUSTER_HOOK | dict(uniform=True), "'uniform'"),
        (ODC, FIRST_CLUSTERS | dict(interval=10), 'interval=10'),
        (ODC, FIRST_CLUSTERS | dict(unif_sampling=True), 'unif_sampling=True'),
        (ODC, FIRST_CLUSTERS | dict(clustering=CLUSTERING), 'clustering.pca_dim=256'),
        (ODC, FIRST_CLUSTERS | dict(init_memory=False), 'init_memory=False'),
        (SHIPPED['SwAV'], SWAV_HOOK | dict(feat_dim=64), 'feat_dim=64'),
        (SHIPPED['SwAV'], SWAV_HOOK | dict(crops_for_assign=[0]), 'crops_for_assign=[0]'),
        (SHIPPED['SwAV'], SWAV_HOOK | dict(frozen_layers_cfg=dict(neck=5)), "_layers_cfg.neck'"),
        (DEEPCLUSTER, DEEPCLUSTER_HOOK | dict(clustering='Kmeans'), "clustering='Kmeans'"),
        (DEEPCLUSTER, DEEPCLUSTER_HOOK | dict(interval='1'), "interval='1'"),
        (DEEPCLUSTER, DEEPCLUSTER_HOOK | dict(clustering=dict(pca_dim=2.5)), 'pca_dim=2.5'),
        (SHIPPED['SwAV'], SWAV_HOOK | dict(frozen_layers_cfg=5), 'frozen_layers_cfg=5'),
        (SHIPPED['SimCLR'], dict(type='EMAHook'), "'EMAHook'"),
        (SHIPPED['DenseCL'], dict(type='EMAHook'), 'Valid names: DenseCLHook'),
        (SHIPPED['SimCLR'], dict(type='DenseCLHook'), 'for SimCLR. It takes none.'),
        (SHIPPED['SimCLR'], dict(momentum=1), "'type'"),
    ],
)
def test_what_has_no_counterpart_is_named(
    model: dict[str, Any], hook: dict[str, Any], said: str
) -> None:
    with refused(said):
        built(model, hook)


def test_a_hook_that_stands_there_twice_is_refused() -> None:
    with refused("'DenseCLHook' twice"):
        built(SHIPPED['DenseCL'], dict(type='DenseCLHook'), dict(type='mmselfsup.DenseCLHook'))
