from .checkpoints import Epoch as Epoch
from .null_distributions import CalibrationClip as CalibrationClip
from .threads import use_all_cores as use_all_cores
