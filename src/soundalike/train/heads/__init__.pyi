from .settings import LOSSES as LOSSES
from .settings import HeadSettings as HeadSettings
