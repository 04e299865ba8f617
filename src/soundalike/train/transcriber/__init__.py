"""Training the transcriber: the network that hears what is played, taught by renders whose every note is known."""
