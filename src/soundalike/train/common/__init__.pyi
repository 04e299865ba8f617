from .checkpoints import Epoch as Epoch
from .null_distributions import CalibrationClip as CalibrationClip
