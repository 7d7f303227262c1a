"""Backbones: images (B, H, W, C) -> a tuple of features."""

from jssl.backbones.resnet import ResNet as ResNet
