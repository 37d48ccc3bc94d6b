"""The six stages of CRISP-ML(Q), whose names are also the names of the component folders.

Source: Studer et al., "Towards CRISP-ML(Q): A Machine Learning Process Model with Quality Assurance
Methodology", Machine Learning and Knowledge Extraction 3(2), 2021.
"""

from enum import StrEnum


class Stage(StrEnum):
    """A stage of the lifecycle; what is found in a later one sends the work back to an earlier one."""

    BUSINESS_UNDERSTANDING = "business_understanding"
    DATA_ENGINEERING = "data_engineering"
    MODEL_ENGINEERING = "model_engineering"
    QUALITY_ASSURANCE = "quality_assurance"
    DEPLOYMENT = "deployment"
    MONITORING = "monitoring"

    @property
    def heading(self) -> str:
        """The stage's name for people."""
        return _HEADINGS[self]


_HEADINGS = {
    Stage.BUSINESS_UNDERSTANDING: "Business and data understanding",
    Stage.DATA_ENGINEERING: "Data engineering",
    Stage.MODEL_ENGINEERING: "Model engineering",
    Stage.QUALITY_ASSURANCE: "Quality assurance",
    Stage.DEPLOYMENT: "Deployment",
    Stage.MONITORING: "Monitoring and maintenance",
}

ATLAS_STAGES = {
    "Business and Data Understanding": Stage.BUSINESS_UNDERSTANDING,
    "Data Preparation": Stage.DATA_ENGINEERING,
    "ML Model Engineering": Stage.MODEL_ENGINEERING,
    "ML Model Evaluation": Stage.QUALITY_ASSURANCE,
    "Deployment": Stage.DEPLOYMENT,
    "Monitoring and Maintenance": Stage.MONITORING,
}
"""The values of `ml-lifecycle` in MITRE ATLAS and the stage each one is."""
