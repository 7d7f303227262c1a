"""Config files of our own, in the forms that the releases of the reference give theirs."""

from pathlib import Path

MODEL = """
model = dict(
    type='MoCo',
    queue_len=64,
    feat_dim=8,
    momentum=0.9,
    data_preprocessor=dict(mean=(120., 110., 100.), std=(60., 55., 50.), bgr_to_rgb=True),
    backbone=dict(
        type='ResNet', depth=10, in_channels=3, out_indices=[4], base_channels=4,
        norm_cfg=dict(type='BN')),
    neck=dict(type='MoCoV2Neck', in_channels=32, hid_channels=16, out_channels=8,
              with_avg_pool=True),
    head=dict(
        type='ContrastiveHead', loss=dict(type='mmcls.CrossEntropyLoss'), temperature=0.2))
"""
DATA = """
dataset_type = 'mmcls.ImageNet'
data_root = 'pictures/'
strength = 1.0
view_pipeline = [
    dict(type='RandomResizedCrop', size=32, scale=(0.3, 1.), backend='pillow'),
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.4 * strength, contrast=0.4,
                         saturation=0.4, hue=0.1)],
        prob=0.8),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True,
         channel_weights=(0.114, 0.587, 0.2989)),
    dict(type='RandomGaussianBlur', sigma_min=0.1, sigma_max=2.0, prob=0.5),
    dict(type='RandomFlip', prob=0.5),
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=2, transforms=[view_pipeline]),
    dict(type='PackSelfSupInputs', meta_keys=['img_path'])
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type, data_root=data_root, ann_file='meta/train.txt',
        data_prefix=dict(img_path='train/'), pipeline=train_pipeline))
"""
SCHEDULE = """
optimizer = dict(type='SGD', lr=0.03, weight_decay=1e-4, momentum=0.9)
optim_wrapper = dict(type='OptimWrapper', optimizer=optimizer)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=2,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=8, by_epoch=True, begin=2, end=10)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=10)
"""
RUNTIME = """
default_scope = 'mmselfsup'
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=5),
    checkpoint=dict(type='CheckpointHook', interval=10))
load_from = None
"""
CHILD = """
_base_ = ['base/model.py', 'base/data.py', 'base/schedule.py', 'base/runtime.py']
# faster
optimizer = dict(lr=0.06)
optim_wrapper = dict(
    optimizer=optimizer,
    paramwise_cfg=dict(custom_keys={'bias': dict(decay_mult=0.), 'bn': dict(decay_mult=0)}))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
"""
OLDER_DATA = """
data_source = 'ImageNet'
dataset_type = 'MultiViewDataset'
num_crops = [1, 1]
img_norm_cfg = dict(mean=[0.4, 0.5, 0.6], std=[0.2, 0.2, 0.2])
train_pipeline1 = [
    dict(type='RandomResizedCrop', size=32, interpolation=3),
    dict(type='RandomHorizontalFlip'),
    dict(type='RandomAppliedTrans',
         transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2,
                          hue=0.1)],
         p=0.8),
    dict(type='RandomGrayscale', p=0.2),
    dict(type='GaussianBlur', sigma_min=0.1, sigma_max=2.0, p=1.),
    dict(type='Solarization', p=0.),
]
train_pipeline2 = [
    dict(type='RandomResizedCrop', size=32, interpolation=3),
    dict(type='Solarization', p=0.2),
]
prefetch = False
if not prefetch:
    train_pipeline1.extend([dict(type='ToTensor'), dict(type='Normalize', **img_norm_cfg)])
    train_pipeline2.extend([dict(type='ToTensor'), dict(type='Normalize', **img_norm_cfg)])
data = dict(
    samples_per_gpu=4,
    workers_per_gpu=4,
    drop_last=True,
    train=dict(
        type=dataset_type,
        data_source=dict(type=data_source, data_prefix='pictures/train',
                         ann_file='pictures/meta/train.txt'),
        num_views=num_crops,
        pipelines=[train_pipeline1, train_pipeline2],
        prefetch=prefetch))
"""
OLDER_MODEL = """
model = dict(
    type='BYOL',
    base_momentum=0.99,
    backbone=dict(type='ResNet', depth=10, in_channels=3, out_indices=[4], base_channels=4,
                  norm_cfg=dict(type='SyncBN')),
    neck=dict(type='NonLinearNeck', in_channels=32, hid_channels=16, out_channels=8, num_layers=2,
              with_bias=True, with_last_bn=False, with_avg_pool=True),
    head=dict(
        type='LatentPredictHead',
        predictor=dict(type='NonLinearNeck', in_channels=8, hid_channels=16, out_channels=8,
                       num_layers=2, with_bias=True, with_last_bn=False, with_avg_pool=False)))
"""
OLDER = """
_base_ = ['base/older_model.py', 'base/older_data.py']
update_interval = 2
custom_hooks = [dict(type='BYOLHook', end_momentum=1., update_interval=update_interval)]
optimizer = dict(
    type='LARS', lr=0.48, momentum=0.9, weight_decay=1e-6,
    paramwise_options={
        '(bn|gn)(\\\\d+)?.(weight|bias)': dict(weight_decay=0., lars_exclude=True),
        'bias': dict(weight_decay=0., lars_exclude=True)
    })
optimizer_config = dict(update_interval=update_interval)
lr_config = dict(policy='CosineAnnealing', min_lr=0., warmup='linear', warmup_iters=2,
                 warmup_ratio=1e-4, warmup_by_epoch=True)
runner = dict(type='EpochBasedRunner', max_epochs=10)
fp16 = dict(loss_scale=512.)
checkpoint_config = dict(interval=10, max_keep_ckpts=3)
log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook')])
"""
BASES = {
    'model': MODEL,
    'data': DATA,
    'schedule': SCHEDULE,
    'runtime': RUNTIME,
    'older_model': OLDER_MODEL,
    'older_data': OLDER_DATA,
}


def write(folder: Path, name: str = 'moco_8xb4.py', text: str = CHILD) -> Path:
    """A config with the files that it builds on."""
    (folder / 'base').mkdir(exist_ok=True)
    for base, content in BASES.items():
        (folder / 'base' / f'{base}.py').write_text(content)
    (folder / name).write_text(text)
    return folder / name
