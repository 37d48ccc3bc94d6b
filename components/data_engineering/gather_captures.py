from kfp import dsl
from kfp.dsl import Artifact, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gather_captures(
    source: str,
    normal: int,
    attacks: int,
    seed: int,
    captures: Output[Artifact],
    ground_truth: Output[Artifact],
):
    """Fetch captured HTTP traffic, or record it in the traffic lab.

    Args:
        source: URI of a capture file or a folder of them (`s3://`, `file://`, a path); empty: record lab traffic.
        normal: visitors' requests to record in the lab.
        attacks: attackers' requests to record in the lab.
        seed: seed of the lab's traffic.
        captures: folder of capture files.
        ground_truth: what the lab knows of the traffic that it recorded in this step; empty for fetched captures.
    """
    from secmlops.web_attacks.steps import data_engineering

    data_engineering.gather_captures(
        source, captures.path, ground_truth.path, normal=normal, attacks=attacks, seed=seed
    )
