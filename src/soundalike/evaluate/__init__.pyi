from .attribution import attribute_model as attribute_model
from .attribution import draw_attribution as draw_attribution
from .base import Protocol as Protocol
