from .triplets import find_clips as find_clips
