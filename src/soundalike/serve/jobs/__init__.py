"""Long work: each job is a process of its own, which reports progress and can be cancelled."""
