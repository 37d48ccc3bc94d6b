"""The way back from monitoring to training: Alertmanager tells, and one retraining starts, at most.

An alert never carries data, an address or a parameter into a pipeline: it only names a use case and a service that
the settings know; what is run, and on which data, stands in the settings. Whatever is not understood starts nothing.
"""
