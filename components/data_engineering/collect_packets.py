from kfp import dsl
from kfp.dsl import Artifact, Input, Metrics, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def collect_packets(
    captures: Input[Artifact],
    dossier: Input[Artifact],
    warehouse: str,
    metrics: Output[Metrics],
    evidence: Output[Artifact],
) -> int:
    """Read every capture into the warehouse table `http_packets`; what cannot be read goes to quarantine.

    Args:
        captures: folder of pcap, pcapng, HAR, access log, Zeek, Suricata, raw HTTP, CSV or JSON-lines files.
        dossier: the evidence so far.
        warehouse: `clickhouse://user@host:port/db` or `chdb:///folder`.
        metrics: requests stored, duplicates skipped, records quarantined.
        evidence: the dossier with dataset provenance (AML.M0025) added.

    Returns:
        The number of requests read.
    """
    from secmlops.web_attacks.steps import data_engineering

    counts = data_engineering.collect_packets(captures.path, warehouse, dossier.path, evidence.path)
    metrics.metadata.update(counts)
    return counts["requests"]
