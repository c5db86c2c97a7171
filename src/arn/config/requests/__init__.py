"""What each verb is asked for, as a dataclass: a config is turned into one once, and only travels down from there.

Nothing here imports torch or a verb: the command line reads a request before anything heavy is loaded.
"""
