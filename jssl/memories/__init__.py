"""What algorithms remember from step to step: arrays, and pure functions that update them.

Each concept is a file: `queue` of MoCo, `feature_queue` of SwAV, `bank` of NPID, `neighbors` of
NNCLR, `center` of DINO and TiCo, `kmeans`, `odc`, `teacher`. They need JAX, Flax, optax and NumPy
alone.
"""

from jssl.memories.bank import SimpleMemory as SimpleMemory
from jssl.memories.center import update_center as update_center
from jssl.memories.center import update_covariance as update_covariance
from jssl.memories.neighbors import nearest_rows as nearest_rows
from jssl.memories.neighbors import store_rows as store_rows
from jssl.memories.odc import ODCMemory as ODCMemory
from jssl.memories.queue import enqueue as enqueue
from jssl.memories.queue import init_queue as init_queue
from jssl.memories.teacher import cosine_momentum as cosine_momentum
from jssl.memories.teacher import init_teacher as init_teacher
from jssl.memories.teacher import linear_momentum as linear_momentum
from jssl.memories.teacher import update_teacher as update_teacher
from jssl.memories.teacher import warmup_temperature as warmup_temperature
