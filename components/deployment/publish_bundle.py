from kfp import dsl
from kfp.dsl import Input, Model

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish_bundle(bundle: Input[Model], publish_to: str) -> str:
    """Verify a signed bundle and publish it where KServe fetches it from.

    The trusted key comes from the environment variable SECMLOPS_TRUSTED_KEY: a PEM public key or the path of one.

    Args:
        bundle: the signed bundle.
        publish_to: a folder or `s3://bucket/prefix`.

    Returns:
        The URI of the published bundle.

    Raises:
        BundleError: the bundle does not verify; nothing is published.
    """
    from secmlops import release

    return release.publish_bundle(bundle.path, publish_to)
