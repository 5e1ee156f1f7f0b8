"""The example's Celery application, with the folder FOLDER as its broker."""

import os
from pathlib import Path

from celery_app import answer, app

__all__ = ["answer", "app"]

_folders = {name: Path(os.environ["FOLDER"]) / name for name in ("messages", "control", "done")}
for folder in _folders.values():
    folder.mkdir(exist_ok=True)
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(_folders["messages"]),
        "data_folder_out": str(_folders["messages"]),
        "control_folder": str(_folders["control"]),
        "processed_folder": str(_folders["done"]),
        "store_processed": True,
    },
    task_ignore_result=True,
)
