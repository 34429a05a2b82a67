"""Why an upload, or an asset to compare it with, cannot be read. What an uploader sent wrong is his to know: public."""

from relay.errors import RelayError, RequestError


class LeakError(RequestError):
    """The uploaded copy cannot be read."""

    status = 422
    code = "leak_unreadable"


class LeakSizeError(LeakError):
    """The upload has more bytes than are taken."""

    status = 413
    code = "leak_too_large"


class LeakFormatError(LeakError):
    """The upload is no video in a container that is read here."""

    code = "leak_not_video"


class LeakTruncatedError(LeakError):
    """The upload starts like a video and ends before any of it can be decoded."""

    code = "leak_truncated"


class LeakPictureError(LeakError):
    """The pictures of the upload are too large, or too small to show a pattern."""

    code = "leak_picture_size"


class LeakDurationError(LeakError):
    """The upload lasts longer, or has more frames, than are taken."""

    code = "leak_too_long"


class LeakEmptyError(LeakError):
    """The upload has no video, or no frame of it could be decoded."""

    code = "leak_without_frames"


class AssetError(RelayError):
    """The folder of an asset cannot be read: the operator's own files, so not public."""

    code = "watermark_asset_unreadable"
