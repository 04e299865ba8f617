from .effects import draw_effects as draw_effects
from .fluid import SYNTH_RATE as SYNTH_RATE
from .mixing import resample as resample
from .percussion import DRUMS as DRUMS
from .studio import DraftError as DraftError
from .studio import play as play
