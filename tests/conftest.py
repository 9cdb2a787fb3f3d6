"""Property tests are the same on every machine and in every run."""

from hypothesis import settings

settings.register_profile("stable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("stable")
