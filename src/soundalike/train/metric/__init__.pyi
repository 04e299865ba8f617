from .methods import METHODS as METHODS
from .settings import FIVE as FIVE
from .settings import PUBLISHED as PUBLISHED
from .settings import SIX as SIX
from .settings import SMALL as SMALL
from .settings import MetricSettings as MetricSettings
from .settings import NetworkSettings as NetworkSettings
from .settings import SpectrumSettings as SpectrumSettings
