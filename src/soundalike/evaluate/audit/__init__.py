"""Is rendered music what it claims to be? Measurements, pictures and a page with players."""
