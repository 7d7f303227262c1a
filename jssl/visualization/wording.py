"""Metrics in words: what a page calls them, how it writes their values, and what they mean."""

import dataclasses
from collections.abc import Iterable, Mapping

RESULT = 'Result of an evaluation'
TRAINING = 'What it trains on'
FEATURES = 'Spread of the features'
MEMORY = 'Clusters, memories and teachers'
STEPS = 'Steps'
SPEED = 'Speed and data'
GROUPS = (RESULT, TRAINING, FEATURES, MEMORY, STEPS, SPEED)


@dataclasses.dataclass(frozen=True)
class Wording:
    """A metric as a page speaks of it.

    Attributes:
      name: in words.
      group: of `GROUPS`, under which its curve stands.
      form: of its values, for `format`.
      noisy: whether a curve of single steps needs its running mean.
      from_zero: whether its curve begins at 0.
    """

    name: str
    group: str
    form: str = '.4g'
    noisy: bool = False
    from_zero: bool = False


SHARE = '.1%'
KNOWN = {
    'test_accuracy': Wording('accuracy', RESULT, SHARE),
    'test_top5': Wording('top-5 accuracy', RESULT, SHARE),
    'knn': Wording('kNN', RESULT, SHARE),
    'knn_top5': Wording('kNN top-5', RESULT, SHARE),
    'linear': Wording('linear probe', RESULT, SHARE),
    'loss': Wording('loss', TRAINING, noisy=True),
    'accuracy': Wording('accuracy in its own task', TRAINING, noisy=True),
    'top1': Wording('accuracy on the batch', TRAINING, noisy=True),
    'top5': Wording('top-5 accuracy on the batch', TRAINING, noisy=True),
    'explained_variance': Wording('explained variance of what is hidden', TRAINING, noisy=True),
    'remembered': Wording('cosine of a projection with its row of the bank', TRAINING, noisy=True),
    'on_diagonal': Wording('agreement of a feature with itself', TRAINING, noisy=True),
    'off_diagonal': Wording('correlation with other features', TRAINING, noisy=True),
    'global': Wording('loss of the global crops', TRAINING, noisy=True),
    'local': Wording('loss of the local crops', TRAINING, noisy=True),
    'ibot': Wording('half of the loss of the masked patches', TRAINING, noisy=True),
    'koleo': Wording('half of the loss of features that are close', TRAINING, noisy=True),
    'teacher_entropy': Wording('entropy of what the teacher says (nats)', TRAINING, noisy=True),
    'class_loss': Wording('part of the loss: class tokens', TRAINING, noisy=True),
    'patch_loss': Wording('part of the loss: masked patches', TRAINING, noisy=True),
    'patch_entropy': Wording('entropy of what it says of patches (nats)', TRAINING, noisy=True),
    'kl': Wording('divergence of the student from the teacher (nats)', TRAINING, noisy=True),
    'align': Wording('part of the loss: alignment of latents', TRAINING, noisy=True),
    'main': Wording('part of the loss: tokens', TRAINING, noisy=True),
    'loss_single': Wording('part of the loss: images', TRAINING, noisy=True),
    'loss_dense': Wording('part of the loss: places', TRAINING, noisy=True),
    'invariance': Wording('part of the loss: distance of the views', TRAINING, noisy=True),
    'sigreg': Wording('part of the loss: how far from a normal distribution', TRAINING, noisy=True),
    'variance': Wording('part of the loss: features that vary too little', TRAINING, noisy=True),
    'covariance': Wording('part of the loss: features that repeat others', TRAINING, noisy=True),
    'feature_std': Wording('feature spread', FEATURES, '.2f'),
    'rankme': Wording('RankMe', FEATURES, '.1f'),
    'cluster_min': Wording('images in the smallest cluster', MEMORY, '.0f'),
    'cluster_max': Wording('images in the largest cluster', MEMORY, '.0f'),
    'cluster_empty': Wording('empty clusters', MEMORY, '.0f'),
    'nmi_previous': Wording('agreement of clusters with those an epoch before (NMI)', MEMORY),
    'nmi_truth': Wording('agreement of clusters with the labels (NMI)', MEMORY),
    'prototypes_used': Wording('prototypes used', MEMORY, '.1f'),
    'queue_fill': Wording('filled share of the queue', MEMORY),
    'queue_used': Wording('whether the queue is in use', MEMORY),
    'queue_norm': Wording('length of the keys in the queue', MEMORY),
    'queue2_norm': Wording('length of the keys in the queue of places', MEMORY),
    'change_ratio': Wording('share of labels that changed', MEMORY),
    'center_norm': Wording("length of the center of the teacher's logits", MEMORY),
    'patch_center_norm': Wording('length of the center of its logits of patches', MEMORY),
    'temperature': Wording('temperature of the teacher', MEMORY),
    'momentum': Wording('momentum of the teacher', MEMORY),
    'lr': Wording('learning rate', STEPS, '.3g', from_zero=True),
    'grad_norm': Wording('gradient norm', STEPS, noisy=True, from_zero=True),
    'images_per_second': Wording('images per second', SPEED, ',.0f', True, True),
    'bad_samples': Wording('broken images so far', SPEED, '.0f'),
    'data_wait': Wording('share of the time spent waiting for data', SPEED, from_zero=True),
}
OF_STEPS = {'feature_std': Wording('spread of the projections in a batch', FEATURES, noisy=True)}


def wording(name: str, *, of_steps: bool = False) -> Wording:
    """What to call a metric; one of a user's own by its name, with spaces.

    Args:
      name: its key in metrics.jsonl; ``loss.2`` and the like are of the second of several heads.
      of_steps: whether it was measured on batches in training, else on held-out images.
    """
    if of_steps and name in OF_STEPS:
        return OF_STEPS[name]
    if name in KNOWN:
        return KNOWN[name]
    base, _, number = name.partition('.')
    if number and base in KNOWN:
        return dataclasses.replace(KNOWN[base], name=f'{KNOWN[base].name}, head {number}')
    return Wording(name.replace('_', ' '), TRAINING if of_steps else RESULT, noisy=of_steps)


def in_order(names: Iterable[str]) -> list[str]:
    """The names of scores as a table shows them: what a run is judged by first."""
    known = list(KNOWN)
    place = {name: known.index(name) if name in KNOWN else len(known) for name in names}
    return sorted(place, key=lambda name: (wording(name).group != RESULT, place[name]))


def written(name: str, value: float) -> str:
    """A value of a metric as a page writes it, such as ``87.6 %``."""
    form = wording(name).form
    text = format(value, form)
    return f'{text[:-1]} %' if form.endswith('%') else text


@dataclasses.dataclass(frozen=True)
class Counts:
    """Numbers that the explanations of a result speak of; 0 where there are none.

    Attributes:
      test: held-out images.
      learned: labelled images that kNN and the linear probe learn from.
      neighbors: k of kNN.
      dimensions: of a feature.
      guessing: how often the most frequent class of the held-out images is right.
      judged: what the images that are looked at are: 'held-out', or 'training' without test data.
    """

    test: int = 0
    learned: int = 0
    neighbors: int = 0
    dimensions: int = 0
    guessing: float = 0.0
    judged: str = 'held-out'


def meanings(scores: Mapping[str, float], counts: Counts) -> dict[str, str]:
    """What each number of a result says, by the name that stands on the page."""
    images = f'{counts.test:,} {counts.judged} images'
    learned = f'{counts.learned:,} labelled images'
    guess = f'Naming the most frequent class for all is right for {100 * counts.guessing:.1f} %.'
    said = {
        'test_accuracy': f'how many of {images} the classifier names rightly. {guess}',
        'test_top5': 'how often the right class is among the five that it finds most probable.',
        'knn': (
            f'how many of {images} get the right class by the vote of the k = {counts.neighbors} '
            f'most similar of {learned}; nothing is trained for it. {guess}'
        ),
        'knn_top5': 'how often the right class is among the five with the most votes.',
        'linear': (
            f'how many of {images} a linear classifier names rightly that is fitted to the frozen '
            f'features of {learned}. It weighs each number by itself: of raw pixels it is low '
            'where what is to be named is not always at the same place.'
        ),
        'feature_std': (
            'how far features differ from image to image: 1 is spread evenly over all directions, '
            '0 is all images alike.'
        ),
        'rankme': (
            'in how many directions features differ, from 1 to '
            f'{min(counts.test, counts.dimensions)}; if it or the spread falls for good, features '
            'collapse.'
        ),
    }
    return {wording(name).name: said[name] for name in said if name in scores}
