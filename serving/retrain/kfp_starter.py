"""Retraining on a cluster: a run of the compiled pipeline through the Kubeflow Pipelines API (v2beta1)."""

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from serving.retrain.starters import Order, RunState, StartFailed, Unreachable

if TYPE_CHECKING:
    from kfp import Client

EXPERIMENT: Final = "retraining"
_STATES: Final = {
    "SUCCEEDED": RunState.SUCCEEDED,
    "SKIPPED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "CANCELED": RunState.STOPPED,
}


class KfpStarter:
    """Starts the compiled package `<pipeline>.yaml` as a run that bears the order's name.

    A run of that name is looked for first: an answer that was lost on the way does not start a second one.

    Args:
        host: URL of the Kubeflow Pipelines API.
        packages: folder of compiled pipelines (`python -m pipelines compile`).
        namespace: the runs' namespace.
        service_account: Kubernetes service account of the runs; empty: the installation's default.
        token_file: file of a projected service-account token for the API; empty: none is sent.
        ca_file: certificate authority of the API's certificate; empty: the system's.
        timeout_s: longest time for one call.
    """

    def __init__(
        self,
        host: str,
        packages: Path,
        *,
        namespace: str,
        service_account: str = "",
        token_file: str = "",
        ca_file: str = "",
        timeout_s: float = 30.0,
    ):
        self._host = host
        self._packages = packages
        self._namespace = namespace
        self._service_account = service_account or None
        self._token_file = token_file
        self._ca_file = ca_file or None
        self._timeout_s = timeout_s

    def start(self, order: Order) -> str:
        """Start a run. Errors as in `Starter`."""
        package = self._packages / f"{order.pipeline}.yaml"
        if not package.is_file():
            raise StartFailed(order.name, f"{package} is missing: compile the pipelines first")
        try:
            found = self.find(order.name)
            if found is not None:
                return found
            created = self._client.create_run_from_pipeline_package(
                str(package),
                arguments=order.parameters,
                run_name=order.name,
                experiment_name=EXPERIMENT,
                namespace=self._namespace,
                service_account=self._service_account,
            )
        except Exception as error:  # the client raises errors of every layer below it
            raise StartFailed(order.name, _one_line(error)) from None
        return created.run_id

    def find(self, name: str) -> str | None:
        """The id of the run of that name, if there is one. Errors as in `Starter`."""
        predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
        wanted = json.dumps({"predicates": [predicate]})
        try:
            listed = self._client.list_runs(namespace=self._namespace, filter=wanted)
        except Exception as error:
            raise Unreachable(_one_line(error)) from None
        # Not every installation applies the filter: a run of another name is no answer.
        return next((run.run_id for run in listed.runs or () if run.display_name == name), None)

    def state(self, run_id: str) -> RunState:
        """Where the run is. Errors as in `Starter`."""
        from kfp_server_api import ApiException

        try:
            run = self._client.get_run(run_id)
        except Exception as error:
            if isinstance(error, ApiException) and error.status == 404:
                return RunState.LOST
            raise Unreachable(_one_line(error)) from None
        return _STATES.get(run.state, RunState.RUNNING)

    def close(self) -> None:
        """Do nothing: the cluster goes on."""

    @cached_property
    def _client(self) -> "Client":
        import urllib3
        from kfp import Client
        from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

        credentials: Any = ServiceAccountTokenVolumeCredentials(self._token_file) if self._token_file else None
        client = Client(host=self._host, namespace=self._namespace, credentials=credentials, ssl_ca_cert=self._ca_file)
        # The client sets no limit of its own: a silent API would hold the service for ever.
        pool = client._run_api.api_client.rest_client.pool_manager
        pool.connection_pool_kw["timeout"] = urllib3.Timeout(self._timeout_s)
        pool.connection_pool_kw["retries"] = urllib3.Retry(total=0)
        return client


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
