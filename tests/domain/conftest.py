"""Properties have no deadline: on a busy machine one slow example says nothing about the rules."""

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None, print_blob=True)
settings.load_profile("no-deadline")
