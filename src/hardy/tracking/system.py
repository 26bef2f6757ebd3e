"""CPU, memory, disk, network and GPU of a run, sampled by MLflow's own monitor."""

import os

import psutil
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

_SAMPLE_SECONDS = 5


class SystemSampler:
    """Samples every 5 s from construction to `stop`; a shorter run gets one sample at its end.

    `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false` turns it off, and
    `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL` (seconds) sets another pace.

    Args:
        run_id: The run to log to; it must be RUNNING.
        uri: The store's address.
        resumed: Go on after the last step logged, instead of from 0.
    """

    def __init__(self, run_id: str, uri: str, *, resumed: bool) -> None:
        self._monitor: SystemMetricsMonitor | None = None
        if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "").lower() == "false":
            return
        psutil.cpu_percent()  # the first call of a process returns a meaningless 0
        self._monitor = SystemMetricsMonitor(
            run_id, sampling_interval=_SAMPLE_SECONDS, resume_logging=resumed, tracking_uri=uri
        )
        self._monitor.start()

    def keep_on(self) -> None:
        """Go on where MLflow's thread has ended, as it does when a store once does not answer."""
        monitor = self._monitor
        if monitor is not None and monitor._process and not monitor._process.is_alive():
            monitor.start()

    def stop(self) -> None:
        """End the thread, then log what it has not logged; a call after one that worked is none."""
        monitor = self._monitor
        if monitor is None:
            return
        if monitor._process is not None:
            monitor.finish()
            # MLflow drops the samples of an interval that did not come to its end.
            monitor.collect_metrics()
            monitor.publish_metrics(monitor.aggregate_metrics())
        monitor.mlflow_logger.flush()
        self._monitor = None
