"""Whether a client's chain of certificates ends in a root that we are told to trust."""

from collections.abc import Set

from keys.errors import LicenceRequestError
from keys.licences.playready.certificates import Certificate, CertificateType, Usage
from keys.licences.playready.signatures import verify


def verify_chain(chain: tuple[Certificate, ...], roots: Set[bytes], now: float) -> Certificate:
    """The leaf of a chain that ends in one of ``roots`` (points). Raises :class:`LicenceRequestError`.

    The leaf must be a client's; each certificate signed by a key of its parent that may issue it; each parent an
    issuer that guards keys at least as well as what it issues; none expired.
    """
    leaf = chain[0]
    if leaf.type not in (CertificateType.PC, CertificateType.DEVICE, CertificateType.APPLICATION):
        raise LicenceRequestError("PlayReady certificate 0: not a client's")
    # Before any curve arithmetic: a stranger's chain costs us one look-up.
    if chain[-1].issuer not in roots:
        raise LicenceRequestError("PlayReady chain: its root is none that we trust")
    for number, child in enumerate(chain):
        where = f"PlayReady certificate {number}"
        if child.expired(now):
            raise LicenceRequestError(f"{where}: expired")
        if number + 1 < len(chain):
            _require_issuer(child, chain[number + 1], where)
        if not verify(child.issuer, child.signature, child.signed):
            raise LicenceRequestError(f"{where}: wrong signature")
    return leaf


def _require_issuer(child: Certificate, parent: Certificate, where: str) -> None:
    if parent.type != CertificateType.ISSUER:
        raise LicenceRequestError(f"{where}: its parent is no issuer")
    if parent.security_level < child.security_level:
        raise LicenceRequestError(f"{where}: its parent's security level is lower")
    may_issue = {Usage.ISSUE_ALL}
    if child.type in (CertificateType.DEVICE, CertificateType.ISSUER):
        may_issue.add(Usage.ISSUE_DEVICES)
    if not any(key == child.issuer and usages & may_issue for key, usages in parent.keys):
        raise LicenceRequestError(f"{where}: its parent has no such key to issue it with")
