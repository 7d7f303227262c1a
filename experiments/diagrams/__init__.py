"""What the figures of the algorithms' pages show, a file for each family of algorithms."""

from collections.abc import Mapping

from experiments.diagrams.banks import BANKS
from experiments.diagrams.boxes import Diagram
from experiments.diagrams.distillation import DISTILLATION
from experiments.diagrams.joint import JOINT
from experiments.diagrams.masked import MASKED
from experiments.diagrams.pretext import PRETEXT

DIAGRAMS: Mapping[str, Diagram] = JOINT | DISTILLATION | BANKS | PRETEXT | MASKED
