from kfp import dsl
from kfp.dsl import Artifact, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def state_requirements(policy: dict, requirements: Output[Artifact], evidence: Output[Artifact]):
    """Fix what the model must fulfil before any data is looked at.

    Args:
        policy: the gate policy, as `secmlops.lifecycle.policy.Policy` reads it.
        requirements: the validated policy, which every later step reads.
        evidence: which risk each requirement answers.

    Raises:
        PolicyInvalid: it is not a policy.
    """
    from secmlops.lifecycle.requirements import state_requirements as state

    state(policy, requirements.path, evidence.path)
