from .details import TrackDetails as TrackDetails
from .functions import compare as compare
from .functions import compare_stems as compare_stems
from .functions import load_model as load_model
from .functions import open as open
from .library import Library as Library
