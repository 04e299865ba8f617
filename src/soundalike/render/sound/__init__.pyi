from .studio import play as play
