from .checkpoints import Epoch as Epoch
from .null_distributions import CalibrationClip as CalibrationClip
from .onnx_files import Precision as Precision
from .threads import use_all_cores as use_all_cores
