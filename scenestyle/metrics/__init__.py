"""How good a result is: pure functions of images, depths and cameras, each with its formula.

Import from the modules: a stage then depends on the figures it reports, not on all of them.
"""
