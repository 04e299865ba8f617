from .checkpoints import Epoch as Epoch
