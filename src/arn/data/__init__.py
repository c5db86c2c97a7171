"""Pictures and masks: the catalogue of data sets, how their files are read, and what a run trains and is scored on.

The catalogue alone must not cost an import of torch: what is needed is imported from its module.
"""
