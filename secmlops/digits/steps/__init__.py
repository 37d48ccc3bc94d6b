"""The pipeline's steps as plain functions, a file per CRISP-ML(Q) stage: paths in, paths out."""
