"""The retraining service: Alertmanager's webhook on one side, pipelines on the other.

python -m serving.retrain --settings retrain.yaml --token env:RETRAIN_TOKEN --audit_log audit.jsonl \
        --runs runs/retrain                                   # on this machine
python -m serving.retrain ... --kfp_host https://... --packages dist --kfp_namespace kubeflow   # on a cluster
"""

import argparse
import logging
import sys
from pathlib import Path

import uvicorn

from secmlops.errors import SecmlopsError
from serving.limits import Limits
from serving.retrain.app import Webhook
from serving.retrain.audit import AuditLog
from serving.retrain.bearer import BearerToken, variable_of
from serving.retrain.desk import Desk
from serving.retrain.kfp_starter import KfpStarter
from serving.retrain.local_starter import LocalStarter
from serving.retrain.metrics import RetrainMetrics
from serving.retrain.settings import load_settings
from serving.retrain.starters import Starter

logger = logging.getLogger("secmlops.retrain")
REFUSED = 2


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m serving.retrain", description="Starts retrainings for alerts.")
    parser.add_argument("--settings", type=Path, required=True, help="What may be retrained (YAML).")
    parser.add_argument("--token", required=True, help="Bearer token: a path, or env:VARIABLE.")
    parser.add_argument("--audit_log", type=Path, required=True, help="Audit log, which is also the state.")
    parser.add_argument("--poll_s", type=float, default=5.0, help="Seconds between looks at a retraining.")
    parser.add_argument("--host", default="0.0.0.0", help="Address to listen on.")  # noqa: S104 (a pod's own address)
    parser.add_argument("--http_port", type=int, default=8080, help="Port; 0 picks a free one, the log names it.")
    local = parser.add_argument_group("on this machine")
    local.add_argument("--runs", type=Path, help="Folder of the retrainings.")
    cluster = parser.add_argument_group("on a cluster")
    cluster.add_argument("--kfp_host", help="URL of the Kubeflow Pipelines API.")
    cluster.add_argument("--packages", type=Path, default=Path("/packages"), help="Folder of compiled pipelines.")
    cluster.add_argument("--kfp_namespace", default="kubeflow", help="Namespace of the runs.")
    cluster.add_argument("--kfp_service_account", default="", help="Service account of the runs.")
    cluster.add_argument("--kfp_token", default="", help="File of a projected service-account token.")
    cluster.add_argument("--kfp_ca", default="", help="Certificate authority of the API.")
    return parser


def starter_of(flags: argparse.Namespace) -> Starter:
    """The starter that the command line asks for: exactly one."""
    if (flags.runs is None) == (flags.kfp_host is None):
        raise SystemExit("give either --runs (this machine) or --kfp_host (a cluster)")
    if flags.runs is not None:
        variable = variable_of(flags.token)
        return LocalStarter(flags.runs, hidden=[variable] if variable else [])
    return KfpStarter(
        flags.kfp_host,
        flags.packages,
        namespace=flags.kfp_namespace,
        service_account=flags.kfp_service_account,
        token_file=flags.kfp_token,
        ca_file=flags.kfp_ca,
    )


def main() -> None:
    """Serve until SIGTERM or SIGINT; a retraining on this machine ends with the service."""
    flags = argument_parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    starter = starter_of(flags)
    try:
        token = BearerToken(flags.token)
        desk = Desk(load_settings(flags.settings), starter, AuditLog(flags.audit_log), RetrainMetrics())
    except SecmlopsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(REFUSED) from None
    from serving.rest import bounded_protocol  # KServe takes seconds to import, and a missing token is said at once

    config = uvicorn.Config(
        Webhook(desk, token, poll_s=flags.poll_s).application(),
        host=flags.host,
        port=flags.http_port,
        http=bounded_protocol(Limits()),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=64,
        timeout_graceful_shutdown=10,
    )
    socket = config.bind_socket()
    logger.info("listening on %s: http %d", flags.host, socket.getsockname()[1])
    uvicorn.Server(config).run(sockets=[socket])


if __name__ == "__main__":
    main()
