"""Requests that overlap, in threads and in processes; workers that fork, and workers that are killed."""
