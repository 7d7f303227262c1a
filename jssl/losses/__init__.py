"""Losses: pure functions of arrays -> scalar."""

from jssl.losses.cae import context_autoencoder as context_autoencoder
from jssl.losses.classification import CrossEntropyLoss as CrossEntropyLoss
from jssl.losses.classification import classification_loss as classification_loss
from jssl.losses.classification import reduce_losses as reduce_losses
from jssl.losses.classification import smooth_targets as smooth_targets
from jssl.losses.classification import top_k_hits as top_k_hits
from jssl.losses.cosine_similarity import cosine_similarity_loss as cosine_similarity_loss
from jssl.losses.cross_correlation import cross_correlation as cross_correlation
from jssl.losses.cross_entropy import cross_entropy as cross_entropy
from jssl.losses.cross_entropy import weighted_cross_entropy as weighted_cross_entropy
from jssl.losses.reconstruction import explained_variance as explained_variance
from jssl.losses.reconstruction import masked_patch_error as masked_patch_error
from jssl.losses.reconstruction import masked_pixel_error as masked_pixel_error
from jssl.losses.swav import sinkhorn as sinkhorn
from jssl.losses.swav import swapped_prediction as swapped_prediction
