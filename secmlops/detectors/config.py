"""What to build: one config per kind of detector, in alibi-detect's terms; goes into a bundle as JSON."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Rate = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Column = Annotated[int, Field(ge=0)]
Correction = Literal["bonferroni", "fdr"]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Univariate(_Config):
    """A test per feature.

    Attributes:
        p_val: level of the whole window, over all features.
        correction: for many features: Bonferroni, or the false discovery rate (Benjamini and Hochberg 1995).
        names: of the features, for reading; empty: their numbers.
    """

    p_val: Rate = 0.05
    correction: Correction = "bonferroni"
    names: tuple[str, ...] = ()


class KsConfig(_Univariate):
    """Kolmogorov and Smirnov's two-sample test."""

    kind: Literal["ks"] = "ks"


class CvmConfig(_Univariate):
    """Cramer and von Mises' two-sample test (Anderson 1962)."""

    kind: Literal["cvm"] = "cvm"


class ChiSquareConfig(_Univariate):
    """Pearson's test of categories."""

    kind: Literal["chi_square"] = "chi_square"


class TabularConfig(_Univariate):
    """Pearson's test for columns of categories, Kolmogorov and Smirnov's for the others.

    Attributes:
        categorical: the columns of categories.
    """

    kind: Literal["tabular"] = "tabular"
    categorical: tuple[Column, ...] = ()


class PredictionConfig(_Univariate):
    """A classifier's answers: each class's probability (KS) and the classes chosen (chi-square), without labels.

    Rows are probabilities (n, classes). The chosen class is the last feature.
    """

    kind: Literal["prediction"] = "prediction"


class UncertaintyConfig(_Univariate):
    """A classifier's doubt: the entropy of its probabilities (n, classes), without labels."""

    kind: Literal["uncertainty"] = "uncertainty"


class PerformanceConfig(_Config):
    """A classifier's errors, once labels arrive. Rows are (label, predicted class).

    Attributes:
        p_val: level of Fisher's exact test that the window's accuracy is lower than the reference's.
        positive: class whose F1 is told beside the accuracy; None: the mean over classes.
    """

    kind: Literal["performance"] = "performance"
    p_val: Rate = 0.05
    positive: int | None = None


class MmdConfig(_Config):
    """Maximum mean discrepancy with a permutation test (Gretton et al. 2012).

    Attributes:
        p_val: level.
        n_permutations: of the labels reference and window.
        sigma: bandwidths of the Gaussian kernel, averaged; empty: the median distance in the reference.
        seed: of the permutations.
    """

    kind: Literal["mmd"] = "mmd"
    p_val: Rate = 0.05
    n_permutations: Count = 100
    sigma: tuple[Positive, ...] = ()
    seed: int = 0


class LsddConfig(_Config):
    """Least-squares density difference with a permutation test (Bu, Alippi and Zhao 2016).

    Attributes:
        p_val: level.
        n_permutations: of the labels reference and window.
        n_kernel_centers: reference rows that serve as centres alone; None: one in twenty.
        lambda_rd_max: largest relative change that regularization may make.
        seed: of the centres and the permutations.
    """

    kind: Literal["lsdd"] = "lsdd"
    p_val: Rate = 0.05
    n_permutations: Count = 100
    n_kernel_centers: Count | None = None
    lambda_rd_max: Rate = 0.2
    seed: int = 0


class ClassifierDriftConfig(_Config):
    """Can a classifier tell the window from the reference (Lopez-Paz and Oquab 2017)?

    Attributes:
        p_val: level.
        n_folds: each row is scored by a classifier that has not seen it.
        n_permutations: of the labels reference and window.
        frequencies: random Fourier features beside the plain ones.
        ridge: regularization, in units of a feature's mean variance.
        seed: of folds, frequencies and permutations.
    """

    kind: Literal["classifier"] = "classifier"
    p_val: Rate = 0.05
    n_folds: Annotated[int, Field(ge=2, le=20)] = 5
    n_permutations: Count = 100
    frequencies: Annotated[int, Field(ge=0, le=4096)] = 128
    ridge: Positive = 10.0
    seed: int = 0


class _Online(_Config):
    """Row by row.

    Attributes:
        ert: expected run time without drift, in rows, until a false alarm.
        n_bootstraps: simulated streams that the thresholds come from.
        seed: of the simulation.
    """

    ert: Annotated[float, Field(gt=1)] = 1000.0
    n_bootstraps: Annotated[int, Field(ge=100, le=1_000_000)] = 1000
    seed: int = 0


class OnlineMmdConfig(_Online):
    """MMD of the last rows against the reference (Cobb, Van Looveren and Klaise 2022).

    Attributes:
        window_size: how many rows are the last ones.
    """

    kind: Literal["mmd_online"] = "mmd_online"
    window_size: Annotated[int, Field(ge=2, le=10_000)] = 20


class OnlineCvmConfig(_Online):
    """Cramer-von-Mises per feature over the last rows; features are taken to be continuous (Ross and Adams 2012).

    Attributes:
        window_sizes: each is tested; the longest sees small shifts, the shortest is quick.
    """

    kind: Literal["cvm_online"] = "cvm_online"
    window_sizes: Annotated[tuple[Annotated[int, Field(ge=2, le=10_000)], ...], Field(min_length=1, max_length=8)] = (
        10,
        40,
    )
    n_bootstraps: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000


UnivariateConfig = KsConfig | CvmConfig | ChiSquareConfig | TabularConfig | PredictionConfig | UncertaintyConfig
WindowConfig = UnivariateConfig | PerformanceConfig | MmdConfig | LsddConfig | ClassifierDriftConfig
OnlineConfig = OnlineMmdConfig | OnlineCvmConfig
DriftConfig = Annotated[WindowConfig | OnlineConfig, Field(discriminator="kind")]

_DRIFT: TypeAdapter[Any] = TypeAdapter(DriftConfig)


def drift_config(data: Any) -> Any:
    """A drift detector's config from plain data.

    Raises:
        pydantic.ValidationError: it is none.
    """
    return _DRIFT.validate_python(data)
