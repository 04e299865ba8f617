"""Fitting the models that are shipped, from audio whose licences permit it."""
