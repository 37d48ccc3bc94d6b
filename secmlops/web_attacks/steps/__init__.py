"""The pipeline's steps as plain functions, a file per CRISP-ML(Q) stage: paths in, paths out.

A component makes one call of these. Every step but the first is handed the evidence so far and hands it on with
its own record added.
"""
