"""Kinds of data that are known by their form, in RE2's syntax."""

from typing import Final

from .dlp import Known

# `\b` keeps them from beginning inside a longer word.
KNOWN: Final[dict[Known, str]] = {
    "private-key": r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:[^-]+-----END [A-Z0-9 ]{1,60}-----)?",
    "aws-access-key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    "aws-secret-key": (
        r"(?i)aws[a-z0-9_. -]{0,30}(?:secret|key)[a-z0-9_. -]{0,30}[\"']?\s?[:=]\s?[\"']?[0-9a-z/+]{40}\b"
    ),
    "google-api-key": r"\bAIza[0-9A-Za-z_-]{35}",
    "azure-storage-key": r"AccountKey=[A-Za-z0-9+/]{86}==",
    "github-token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{22,255})",
    "gitlab-token": r"\bgl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat)-[A-Za-z0-9_-]{20,200}",
    "slack-token": (
        r"\bxox[abceoprs](?:\.xox[a-z])?-[A-Za-z0-9-]{10,250}|hooks\.slack\.com/services/[A-Za-z0-9/]{30,100}"
    ),
    "stripe-key": r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,247}",
    "jwt": r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    "card-number": r"[0-9](?:[ -]?[0-9]){12,40}",
    "iban": r"(?i)\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
    "email-address": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]{1,190}\.[A-Za-z]{2,24}\b",
}
