"""Runs, models and figures in MLflow: the only package that imports it."""

from tasks.tracking.environment import apply_safe_settings

apply_safe_settings()  # before any module of this package imports mlflow
