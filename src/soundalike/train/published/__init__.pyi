from .catalogue import PUBLISHED as PUBLISHED
from .catalogue import PublishedModel as PublishedModel
from .installer import CalibrationClip as CalibrationClip
from .installer import InstallJob as InstallJob
from .installer import install as install
from .installer import plan as plan
from .installer import remove as remove
