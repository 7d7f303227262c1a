"""What algorithms remember from step to step: arrays, and pure functions that update them."""

from jssl.memories.bank import SimpleMemory as SimpleMemory
from jssl.memories.odc import ODCMemory as ODCMemory
