"""The signed model bundle: the only thing that is ever served.

A folder of `model.onnx`, `weights.safetensors` or both, `preprocess.json`, `card.json`, perhaps `tokenizer.json`,
with the gate's verdict (`gate.json`), provenance (`provenance.json`) and bill of materials (`sbom.json`), all signed
in `model.sig`:

```python
private, public = keygen("keys/signing")
verdict = judge(policy, metrics, model_digest("model"))
assemble("model", "bundle", verdict=verdict, provenance=Provenance(...))
sign("bundle", private)
weights = load("bundle", public).read_bytes("weights.safetensors")
```
"""

from secmlops.bundle.assembly import assemble, require_new, sign
from secmlops.bundle.errors import (
    BundleError,
    ForbiddenFile,
    GateNotPassed,
    InvalidKey,
    KeyExists,
    MalformedBundle,
    MissingKey,
    MissingSignature,
    SignatureInvalid,
    TargetNotEmpty,
    UntrustedKey,
    VerdictMismatch,
)
from secmlops.bundle.keys import KeySource, keygen
from secmlops.bundle.layout import bytes_digest, file_digest, model_digest
from secmlops.bundle.provenance import Material, Provenance
from secmlops.bundle.verification import Bundle, VerifiedBundle, load, verify

__all__ = [
    "Bundle",
    "BundleError",
    "ForbiddenFile",
    "GateNotPassed",
    "InvalidKey",
    "KeyExists",
    "KeySource",
    "MalformedBundle",
    "Material",
    "MissingKey",
    "MissingSignature",
    "Provenance",
    "SignatureInvalid",
    "TargetNotEmpty",
    "UntrustedKey",
    "VerdictMismatch",
    "VerifiedBundle",
    "assemble",
    "bytes_digest",
    "file_digest",
    "keygen",
    "load",
    "model_digest",
    "require_new",
    "sign",
    "verify",
]
