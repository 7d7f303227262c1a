"""Features on a plane, and the images that features call alike."""

import numpy as np

MOST_ROWS = 2000  # t-SNE takes seconds for so many, and more points hide one another
ITERATIONS = 400


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1 in float64; a zero row stays zero."""
    rows = np.asarray(features, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def principal_plane(rows: np.ndarray) -> np.ndarray:
    """The first two principal components (N, 2) of rows (N, D)."""
    left, values, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    plane = (left * values)[:, :2]
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))


def project(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Places features (N, D) on a plane (N, 2) so that alike ones lie together.

    It is t-SNE (van der Maaten and Hinton 2008) of l2-normalised features, started at their
    principal components so that the large layout means something. Too few rows for t-SNE, or rows
    that are all alike, stay at their principal components.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows = unit_rows(features)
    start = principal_plane(rows)
    spread = start[:, 0].std()
    if len(rows) < 10 or spread < 1e-9:
        return start
    perplexity = min(30, (len(rows) - 1) / 3)
    start = (1e-4 * start / spread).astype(np.float32)
    tsne = TSNE(perplexity=perplexity, init=start, max_iter=ITERATIONS, random_state=seed)
    # Its threads wait by spinning: on a busy machine two of them take eight times as long as one.
    with threadpool_limits(1):
        return tsne.fit_transform(rows.astype(np.float32))


def nearest(
    queries: np.ndarray, features: np.ndarray, count: int, own: np.ndarray | None = None
) -> np.ndarray:
    """The rows of `features` most similar (cosine) to each query, best first.

    Args:
      queries: (Q, D).
      features: (N, D), those that are searched.
      count: neighbours wanted; fewer when there are fewer rows.
      own: (Q,) the rows of the queries themselves, which are left out; None where they are others.

    Returns:
      (Q, min(count, N)) row numbers, one fewer at most with `own`.
    """
    similarity = unit_rows(queries) @ unit_rows(features).T
    if own is not None:
        similarity[np.arange(len(queries)), own] = -np.inf
    order = np.argsort(-similarity, axis=1, kind='stable')
    return order[:, : min(count, len(features) - (own is not None))]


def choose_queries(rows: int, labels: np.ndarray | None, count: int) -> np.ndarray:
    """`count` row numbers spread evenly over the classes, or over the rows without labels."""
    order = np.arange(rows) if labels is None else np.argsort(labels, kind='stable')
    count = min(count, rows)
    return order[(np.arange(count) * rows + rows // 2) // max(count, 1)]
