"""One named error for each way in which a bundle cannot be trusted."""

from collections.abc import Sequence
from pathlib import Path

from secmlops.errors import SecmlopsError
from secmlops.lifecycle.gate import RequirementResult


class BundleError(SecmlopsError):
    """A bundle that is not, and must not be, served.

    Attributes:
        path: the bundle's folder.
    """

    def __init__(self, path: str | Path, sentence: str):
        self.path = Path(path)
        super().__init__(f"{path}: {sentence}")


class ForbiddenFile(BundleError):
    """Something no bundle may hold: a pickle or other executable format, a link, a folder, a device.

    Attributes:
        name: its name.
        reason: why it is forbidden.
    """

    def __init__(self, path: str | Path, name: str, reason: str):
        self.name = name
        self.reason = reason
        super().__init__(path, f"{name!r} may not be in a bundle: {reason}; do not open it, find out who put it there")


class MalformedBundle(BundleError):
    """Not a bundle, or one whose files are not what their names say."""


class MissingSignature(BundleError):
    """There is no `model.sig`."""

    def __init__(self, path: str | Path):
        super().__init__(path, "is not signed: sign it with `secmlops.bundle.sign` before it is served")


class UntrustedKey(BundleError):
    """Signed, but with another key than the trusted one.

    Attributes:
        signed_by: SHA-256 (hex) of the key that the signature names.
        trusted: SHA-256 (hex) of the trusted key.
    """

    def __init__(self, path: str | Path, signed_by: str, trusted: str):
        self.signed_by = signed_by
        self.trusted = trusted
        super().__init__(
            path,
            f"is signed with key {signed_by[:16]}, but the trusted key is {trusted[:16]}: "
            "use the public key that belongs to the signer, or do not serve it",
        )


class SignatureInvalid(BundleError):
    """The signature does not fit the files: a byte changed, a file is missing, or one was added.

    Attributes:
        problems: what does not fit.
    """

    def __init__(self, path: str | Path, problems: Sequence[str]):
        self.problems = tuple(problems)
        super().__init__(
            path,
            f"is not what was signed ({'; '.join(problems)}): fetch it again; if that fails too, treat it as tampered",
        )


class GateNotPassed(BundleError):
    """The signed verdict says that the model does not meet its policy.

    Attributes:
        failures: the requirements that do not hold.
    """

    def __init__(self, path: str | Path, failures: Sequence[RequirementResult]):
        self.failures = tuple(failures)
        told = "; ".join(f"{failure.metric}: {failure.reason}" for failure in failures)
        super().__init__(path, f"did not pass the gate ({told}): train a better model, or have the policy reviewed")


class VerdictMismatch(BundleError):
    """The verdict is about another model.

    Attributes:
        judged: digest of the model that the verdict names.
        found: digest of the model that is here.
    """

    def __init__(self, path: str | Path, judged: str, found: str):
        self.judged = judged
        self.found = found
        super().__init__(
            path, f"carries a verdict about model {judged[:23]}, but holds model {found[:23]}: judge this very model"
        )


class TargetNotEmpty(BundleError):
    """The folder to write to already holds something."""

    def __init__(self, path: str | Path):
        super().__init__(path, "already holds files: name a new folder, bundles are never changed in place")


class MissingKey(SecmlopsError):
    """A key that is not where it was said to be.

    Attributes:
        source: the path or environment variable.
    """

    def __init__(self, source: str, reason: str):
        self.source = source
        super().__init__(f"no key at {source}: {reason}")


class InvalidKey(SecmlopsError):
    """Something else than an unencrypted PEM key on curve P-256, P-384 or P-521.

    Attributes:
        source: the path or environment variable.
    """

    def __init__(self, source: str, reason: str):
        self.source = source
        super().__init__(f"the key at {source} cannot be used: {reason}; make one with `secmlops keygen`")


class KeyExists(SecmlopsError):
    """A key file that would be overwritten.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path):
        self.path = path
        super().__init__(f"{path} exists and is not overwritten: choose another prefix")
