"""Trials where people keep their runs: TensorBoard, Weights & Biases, MLflow. Each is an extra, imported when used."""

from runs.trackers.export import EACH, TRACKERS, export_runs

__all__ = ["EACH", "TRACKERS", "export_runs"]
