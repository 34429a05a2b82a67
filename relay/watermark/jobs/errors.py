"""Why an analysis is not taken in, or came to nothing. All of it is for the caller to know."""

from typing import ClassVar

from relay.errors import RelayError


class AnalysisError(RelayError):
    """Base of all."""

    public: ClassVar[bool] = True


class AnalysisUnavailableError(AnalysisError):
    """Nothing is analysed on this node: 501, and what is missing."""

    status = 501
    code = "analysis_unavailable"


class AnalysesBusyError(AnalysisError):
    """As many analyses wait, or are kept, as may be: 503."""

    status = 503
    code = "analyses_busy"


class AnalysisPendingError(AnalysisError):
    """What is asked for comes when the analysis is done: 409."""

    status = 409
    code = "analysis_pending"


class AnalysisLimitError(AnalysisError):
    """The upload took more memory or time than an analysis may."""

    status = 422
    code = "analysis_limit"


class AnalysisFailedError(AnalysisError):
    """The process that analysed failed; the log says more."""

    status = 500
    code = "analysis_failed"


class AnalysisInterruptedError(AnalysisError):
    """The relay ended twice while it was at this upload, which is not tried once more."""

    status = 500
    code = "analysis_interrupted"


class AssetKeyError(AnalysisError):
    """The asset that the copy is of was marked with a chip key that is not configured here."""

    status = 500
    code = "asset_key_unknown"


class AssetUnservedError(AnalysisError):
    """No stream is configured with the asset that the copy is of, so nothing tells its code."""

    status = 500
    code = "asset_unserved"


class AssetUnknownError(AnalysisError):
    """There is no asset of the name that the copy is said to be of."""

    status = 422
    code = "asset_unknown"
