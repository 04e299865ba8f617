"""Types, errors, files, plug-ins and executors that all packages use. Import the modules directly."""
