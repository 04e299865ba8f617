from .base import Backbone as Backbone
from .base import Blocks as Blocks
from .base import FeatureRows as FeatureRows
from .base import Features as Features
from .base import WindowGrid as WindowGrid
from .compact import NETWORKS_VARIABLE as NETWORKS_VARIABLE
from .compact import CompactBackbone as CompactBackbone
