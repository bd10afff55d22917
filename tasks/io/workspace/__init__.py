"""The workspace: one folder or bucket for all that is made, and what lies where in it."""

from tasks.io.workspace.exclusive import CLEANING, RUNS, alone
from tasks.io.workspace.layout import (
    FORGOTTEN,
    KINDS,
    MARK,
    dataset_features_folder,
    dataset_folder,
    enhanced_folder,
    features_folder,
    is_forgotten,
    key_digest,
    matches_folder,
    metrics_folder,
    moments_folder,
    operator_artifact,
    reports_folder,
    signals_folder,
)
from tasks.io.workspace.signals import (
    CODEC,
    CODEC_INPUT,
    CONTROLS,
    CURVE,
    INPUT,
    Signal,
    points_of,
)
from tasks.io.workspace.workspace import Workspace

__all__ = [
    "CLEANING",
    "CODEC",
    "CODEC_INPUT",
    "CONTROLS",
    "CURVE",
    "FORGOTTEN",
    "INPUT",
    "KINDS",
    "MARK",
    "RUNS",
    "Signal",
    "Workspace",
    "alone",
    "dataset_features_folder",
    "dataset_folder",
    "enhanced_folder",
    "features_folder",
    "is_forgotten",
    "key_digest",
    "matches_folder",
    "metrics_folder",
    "moments_folder",
    "operator_artifact",
    "points_of",
    "reports_folder",
    "signals_folder",
]
