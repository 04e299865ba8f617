from .settings import LOSSES as LOSSES
from .settings import SCALINGS as SCALINGS
from .settings import HeadSettings as HeadSettings
