"""What a task asks of the cluster: processors, memory, time, retries and secrets, in one place."""

from dataclasses import dataclass

from kfp import kubernetes
from kfp.dsl import PipelineTask


@dataclass(frozen=True, slots=True)
class Size:
    """Resources of a task.

    Attributes:
        cpu_request: processors reserved, as Kubernetes writes them.
        cpu_limit: processors at most.
        memory_request: memory reserved.
        memory_limit: memory at most.
        timeout_s: after how many seconds the task is stopped.
    """

    cpu_request: str
    cpu_limit: str
    memory_request: str
    memory_limit: str
    timeout_s: int


SMALL = Size("250m", "1", "512M", "1G", 900)
DATA = Size("1", "2", "2G", "4G", 3_600)
TRAINING = Size("2", "4", "4G", "8G", 14_400)


def place(task: PipelineTask, size: Size, *, retries: int = 0) -> PipelineTask:
    """Give a task its resources and a timeout, and never answer it from the cache.

    Args:
        task: the task.
        size: its resources.
        retries: how often it is tried again; only for steps that may safely run twice.
    """
    task.set_cpu_request(size.cpu_request).set_cpu_limit(size.cpu_limit)
    task.set_memory_request(size.memory_request).set_memory_limit(size.memory_limit)
    task.set_caching_options(enable_caching=False)
    kubernetes.set_timeout(task, size.timeout_s)
    if retries:
        task.set_retry(num_retries=retries, backoff_duration="10s", backoff_factor=2.0)
    return task


def with_storage(task: PipelineTask, secret: str) -> PipelineTask:
    """Hand a task the object store's credentials from the Secret of that name."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_ENDPOINT")
    return _with_secret(task, secret, {name: name for name in names})


def with_warehouse(task: PipelineTask, secret: str) -> PipelineTask:
    """Hand a task the warehouse's password from the Secret of that name."""
    return _with_secret(task, secret, {"CLICKHOUSE_PASSWORD": "CLICKHOUSE_PASSWORD"})


def with_signing_key(task: PipelineTask, secret: str) -> PipelineTask:
    """Hand the signing step, and no other, the private key."""
    kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={"signing.pem": "SECMLOPS_SIGNING_KEY"})
    return task


def with_trusted_key(task: PipelineTask, config_map: str) -> PipelineTask:
    """Hand a task the public key by which bundles are verified."""
    kubernetes.use_config_map_as_env(
        task, config_map_name=config_map, config_map_key_to_env={"signing.pub": "SECMLOPS_TRUSTED_KEY"}
    )
    return task


def _with_secret(task: PipelineTask, secret: str, keys: dict[str, str]) -> PipelineTask:
    kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env=keys, optional=True)
    return task
