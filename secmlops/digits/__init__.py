"""Robust image classification, shown on handwritten digits: data, models, attack reports, signed bundles."""
