from .clips import Clip as Clip
from .clips import load_clips as load_clips
from .page import DemoAnswer as DemoAnswer
from .page import DemoQuery as DemoQuery
from .page import render_page as render_page
