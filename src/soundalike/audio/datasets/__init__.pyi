from .listening import QUESTIONS as QUESTIONS
from .listening import TESTS as TESTS
from .listening import Ballot as Ballot
from .listening import count_votes as count_votes
from .listening import has_majority as has_majority
from .listening import read_answers as read_answers
from .slakh2100 import SlakhStem as SlakhStem
from .triplets import find_clips as find_clips
