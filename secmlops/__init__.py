"""Secure MLOps on Kubeflow: the library behind the components, pipelines and servers."""

__version__ = "0.1.0"
