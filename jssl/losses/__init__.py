"""Losses under their papers' names: pure functions of arrays -> a scalar.

Each documents its shapes, its equation and what it raises, and has an example that the tests run.
All compute in at least float32 and follow float64. They need JAX, Flax, optax and NumPy alone.
"""

from jssl.losses.barlow_twins import barlow_twins as barlow_twins
from jssl.losses.barlow_twins import cross_correlation as cross_correlation
from jssl.losses.byol_regression import byol_regression as byol_regression
from jssl.losses.capi import capi_targets as capi_targets
from jssl.losses.classification import CrossEntropyLoss as CrossEntropyLoss
from jssl.losses.classification import classification_loss as classification_loss
from jssl.losses.classification import reduce_losses as reduce_losses
from jssl.losses.classification import smooth_targets as smooth_targets
from jssl.losses.classification import top_k_hits as top_k_hits
from jssl.losses.contrast import contrast as contrast
from jssl.losses.contrast import contrast_accuracy as contrast_accuracy
from jssl.losses.cross_entropy import cross_entropy as cross_entropy
from jssl.losses.cross_entropy import weighted_cross_entropy as weighted_cross_entropy
from jssl.losses.decoupled_contrast import decoupled_contrast as decoupled_contrast
from jssl.losses.dense_contrast import dense_contrast as dense_contrast
from jssl.losses.dino import centered_targets as centered_targets
from jssl.losses.dino import dino as dino
from jssl.losses.dino import pair_cross_entropies as pair_cross_entropies
from jssl.losses.dino import soft_cross_entropy as soft_cross_entropy
from jssl.losses.gram_anchoring import gram_anchoring as gram_anchoring
from jssl.losses.ibot import ibot as ibot
from jssl.losses.ibot import ibot_of_rows as ibot_of_rows
from jssl.losses.in_batch_contrast import batch_similarities as batch_similarities
from jssl.losses.in_batch_contrast import in_batch_contrast as in_batch_contrast
from jssl.losses.info_nce import info_nce as info_nce
from jssl.losses.info_nce import queue_similarities as queue_similarities
from jssl.losses.instance_discrimination import instance_discrimination as instance_discrimination
from jssl.losses.koleo import koleo as koleo
from jssl.losses.latent_alignment import latent_alignment as latent_alignment
from jssl.losses.msn import msn as msn
from jssl.losses.msn import prior_divergence as prior_divergence
from jssl.losses.msn import prototype_similarities as prototype_similarities
from jssl.losses.msn import sharpened_targets as sharpened_targets
from jssl.losses.negative_cosine import negative_cosine as negative_cosine
from jssl.losses.nt_xent import nt_xent as nt_xent
from jssl.losses.nt_xent import pair_similarities as pair_similarities
from jssl.losses.reconstruction import explained_variance as explained_variance
from jssl.losses.reconstruction import masked_patch_error as masked_patch_error
from jssl.losses.reconstruction import masked_pixel_error as masked_pixel_error
from jssl.losses.sigreg import sigreg as sigreg
from jssl.losses.sigreg import view_spread as view_spread
from jssl.losses.sinkhorn import sinkhorn as sinkhorn
from jssl.losses.smooth_l1 import smooth_l1 as smooth_l1
from jssl.losses.swapped_prediction import swapped_prediction as swapped_prediction
from jssl.losses.tico import tico as tico
from jssl.losses.vicreg import covariance_penalty as covariance_penalty
from jssl.losses.vicreg import invariance as invariance
from jssl.losses.vicreg import variance_hinge as variance_hinge
