"""What holds for every compiled pipeline: resources, secrets, images, and the files that Kubeflow takes."""

from secmlops import __version__
from tests.pipelines.conftest import component_named

SMALL = ("250m", "1", "512M", "1G", 900, 0)
SMALL_RETRIED = (*SMALL[:-1], 1)
DATA = ("1", "2", "2G", "4G", 3600, 1)
TRAINING = ("2", "4", "4G", "8G", 14400, 0)

# component: cpu request, cpu limit, memory request, memory limit, seconds, retries
RESOURCES = {
    "state-requirements": SMALL_RETRIED,
    "gather-captures": DATA,
    "collect-packets": DATA,
    "label-packets": DATA,
    "prepare-requests": DATA,
    "check-poisoning": DATA,
    "load-images": DATA,
    "train-classifier": TRAINING,
    "evaluate-classifier": TRAINING,
    "train-recipe": TRAINING,
    "evaluate-recipe": TRAINING,
    "judge-models": SMALL,
    "drill-backdoor": TRAINING,
    "choose-recipe": SMALL,
    "assess-theft": TRAINING,
    "examine-champion": TRAINING,
    "fit-detectors": (*DATA[:-1], 0),
    "evaluate-detectors": (*DATA[:-1], 0),
    "sign-detectors": SMALL,
    "publish-detectors": (*SMALL[:-1], 2),
    "sign-bundle": SMALL,
    "assure": SMALL_RETRIED,
    "publish-bundle": (*SMALL[:-1], 2),
    "deploy": SMALL_RETRIED,
    "register-verdict": (*SMALL[:-1], 2),
    "reject-model": SMALL,
}


def test_resources_timeouts_and_retries(graph):
    executors = graph.spec["deploymentSpec"]["executors"]
    deadlines = graph.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    retries = {
        component_named(task["componentRef"]["name"]): task.get("retryPolicy", {}).get("maxRetryCount", 0)
        for task in graph.steps().values()
    }
    for name, executor in executors.items():
        asked = executor["container"]["resources"]
        keys = ("resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit")
        component = component_named(name)
        row = (*(asked[key] for key in keys), int(deadlines[name]["activeDeadlineSeconds"]), retries[component])
        assert row == RESOURCES[component]


def test_nothing_is_answered_from_the_cache(graph):
    for path, task in graph.steps().items():
        assert not task.get("cachingOptions", {}).get("enableCache"), path


def test_only_the_signing_steps_are_given_the_private_key(graph):
    executors = graph.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    holders = {
        component_named(name)
        for name, executor in executors.items()
        for secret in executor.get("secretAsEnv", [])
        for key in secret["keyToEnv"]
        if key["envVar"] == "SECMLOPS_SIGNING_KEY"
    }
    assert {"sign-bundle"} <= holders <= {"sign-bundle", "sign-detectors"}


def test_secrets_are_named_by_parameters_and_never_written(graph):
    executors = graph.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for executor in executors.values():
        for secret in executor.get("secretAsEnv", []):
            assert "componentInputParameter" in secret["secretNameParameter"]
    assert "PRIVATE KEY" not in graph.text


def test_components_install_nothing_and_run_the_image_of_this_version(graph):
    for executor in graph.spec["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert container["image"].endswith(f"/secmlops-components:{__version__}")
        assert "pip install" not in " ".join(container["command"])


def test_the_yaml_is_ascii(graph):
    assert graph.text.isascii()


def test_kubectl_resources(graph):
    pipeline, version = graph.resources
    assert (pipeline["apiVersion"], pipeline["kind"]) == ("pipelines.kubeflow.org/v2beta1", "Pipeline")
    assert pipeline["metadata"]["name"] == graph.spec["pipelineInfo"]["name"]
    assert version["kind"] == "PipelineVersion"
    assert version["spec"]["pipelineName"] == graph.spec["pipelineInfo"]["name"]
    assert version["spec"]["pipelineSpec"] == graph.spec
