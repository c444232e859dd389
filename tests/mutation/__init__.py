"""Do the tests notice? Small changes are made to the code, one at a time, in a copy of it, and its tests are run.

    make mutate                                        # the sample in docs/mutation.md; about an hour on two cores
    python -m tests.mutation --number 40 --area tracks # some of one area
    python -m tests.mutation --defaults                # every default and threshold, doubled and halved
    python -m tests.mutation --again                   # those that survived the last time

Cosmic Ray (``requirements-mutation.txt``) parses the code and changes it: it is kept, its operators can be called one
by one, and others are a class each. Its own sessions run one command for all modules, so tests are chosen here. What no
test notices and no test could is listed, with the reason, in ``equivalent.toml``.
"""
