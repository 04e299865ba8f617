from .labels import Concept as Concept
from .labels import TrackLabels as TrackLabels
from .labels import alike as alike
from .labels import alike_matrix as alike_matrix
from .labels import decade_of as decade_of
