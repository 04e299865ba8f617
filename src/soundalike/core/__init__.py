"""What everything else stands on: types, errors, files, plug-ins. Import its modules directly."""
