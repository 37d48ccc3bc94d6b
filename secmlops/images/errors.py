"""One named error for each way in which images cannot be used."""

from pathlib import Path

from secmlops.errors import SecmlopsError


class ImagesError(SecmlopsError):
    """Images that cannot be used."""


class InvalidImageSet(ImagesError):
    """Arrays that do not make an `ImageSet`."""


class InvalidImage(ImagesError):
    """One image that is not taken.

    Attributes:
        reason: a short name of what is wrong, such as `truncated`.
        sentence: what is wrong and what to do.
    """

    def __init__(self, reason: str, sentence: str):
        self.reason = reason
        self.sentence = sentence
        super().__init__(sentence)


class InvalidFile(ImagesError):
    """A file or folder of images that is not what it should be.

    Attributes:
        path: the file or folder.
        reason: what is wrong.
    """

    def __init__(self, path: str | Path, reason: str):
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class TooManyImages(InvalidFile):
    """More images, or more bytes, than the limits allow."""
