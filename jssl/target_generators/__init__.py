"""Target generators: images -> what a masked model has to predict of them, without gradient."""

from jssl.target_generators.brightness import BrightnessTokenizer as BrightnessTokenizer
from jssl.target_generators.clip import CLIPGenerator as CLIPGenerator
from jssl.target_generators.dalle import DALLE as DALLE
from jssl.target_generators.hog import HOGGenerator as HOGGenerator
from jssl.target_generators.low_frequency import LowFreqTargetGenerator as LowFreqTargetGenerator
from jssl.target_generators.vqkd import VQKD as VQKD
