"""The workspace: one folder or bucket, where everything has its place."""

from tasks.io.workspace.workspace import (
    CONTROLS,
    CURVE,
    FORGOTTEN,
    Signal,
    Workspace,
    dataset_features_folder,
    dataset_folder,
    enhanced_folder,
    features_folder,
    matches_folder,
    metrics_folder,
    moments_folder,
    operator_artifact,
    reports_folder,
    signals_folder,
)

__all__ = [
    "CONTROLS",
    "CURVE",
    "FORGOTTEN",
    "Signal",
    "Workspace",
    "dataset_features_folder",
    "dataset_folder",
    "enhanced_folder",
    "features_folder",
    "matches_folder",
    "metrics_folder",
    "moments_folder",
    "operator_artifact",
    "reports_folder",
    "signals_folder",
]
