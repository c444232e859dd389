"""Where frames come from. One file a kind of source; ``open_source`` chooses.

Written against one protocol so that the pipeline needs to know nothing but whether a source is live.
"""
