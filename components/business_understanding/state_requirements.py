from kfp import dsl
from kfp.dsl import Artifact, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def state_requirements(policy: str, requirements: Output[Artifact], evidence: Output[Artifact]) -> float:
    """Fix what the model must fulfil before any data is looked at.

    Args:
        policy: the gate policy: a name under `pipelines/policies`, a path, or a URI of a YAML file.
        requirements: the validated policy, which every later step reads.
        evidence: which risk each requirement answers.

    Returns:
        The policy's highest false-positive rate, at which models choose their threshold.

    Raises:
        InvalidPolicy: the file is not a policy.
    """
    from secmlops.web_attacks import steps

    return steps.state_requirements(policy, requirements.path, evidence.path)
