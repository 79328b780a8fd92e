"""Words that mean the same to whoever searches for a tool. Small on purpose: every entry costs precision."""

from typing import Final

# A group's words find each other, at less weight than the word itself.
GROUPS: Final = (
    ("create", "add", "new", "make", "open", "insert", "post"),
    ("delete", "remove", "erase", "destroy", "drop", "discard", "trash", "forget"),
    ("update", "edit", "change", "modify", "set", "patch", "rename", "close", "reopen", "write"),
    ("list", "all", "enumerate", "show", "browse"),
    ("get", "fetch", "read", "retrieve", "show", "view", "find", "lookup", "download"),
    ("search", "find", "query", "lookup"),
    ("repository", "repo"),
    ("pull", "pr"),
    ("branch", "ref", "reference"),
    ("starred", "stargazer"),
    ("authenticated", "my", "me", "mine", "myself", "am", "current"),
    ("organization", "organisation", "org", "company"),
    ("user", "person", "people", "account", "member"),
    ("issue", "ticket", "bug"),
    ("comment", "reply", "remark"),
    ("directory", "folder"),
    ("authentication", "auth", "login", "signin"),
    ("message", "mail", "email"),
    ("send", "post", "dispatch", "trigger"),
    ("run", "execute", "start", "trigger", "launch"),
    ("stop", "cancel", "abort"),
    ("webhook", "hook"),
    ("workflow", "pipeline", "ci"),
    ("permission", "access", "right"),
    ("file", "content", "document"),
    ("label", "tag"),
    ("key", "credential"),
    ("vulnerability", "security", "advisory"),
    ("invite", "invitation"),
    ("assign", "assignee"),
    ("approve", "submit"),
    ("star", "favorite", "favourite", "like"),
    ("price", "cost", "billing", "usage"),
    ("picture", "image", "photo"),
    ("note", "memo"),
    ("balance", "amount"),
    ("customer", "client"),
    ("meeting", "event", "appointment"),
    ("schedule", "create", "book"),
    ("press", "click", "tap", "push"),
    ("open", "navigate", "visit", "go"),
    ("web", "url", "browser", "site", "website", "webpage"),
    ("detail", "get", "info", "information", "metadata"),
    ("history", "log"),
    ("row", "entry", "record", "block"),
    ("append", "add"),
    ("move", "transfer", "transition"),
    ("folder", "directory", "path"),
    ("hour", "time", "duration"),
    ("mute", "silence", "snooze"),
    ("refund", "reimburse"),
    ("cancel", "end", "terminate", "unsubscribe"),
    ("direction", "route", "driving"),
    ("weather", "forecast"),
    ("inbox", "mailbox"),
    ("paid", "payment", "pay"),
    ("limit", "quota", "remaining", "left"),
    ("register", "registration", "enroll", "signup"),
    ("contributor", "contributed", "contribution", "author"),
    ("visitor", "traffic", "view"),
    ("enable", "activate"),
    ("disable", "deactivate", "off"),
    ("remember", "memory", "store", "save"),
)

SYNONYMS: Final[dict[str, frozenset[str]]] = {
    word: frozenset(other for group in GROUPS if word in group for other in group if other != word)
    for group in GROUPS
    for word in group
}

# Said in questions, not in names.
STOP_WORDS: Final = frozenset(
    [
        *("a", "an", "and", "any", "are", "as", "at", "be", "been", "being", "by", "can", "did", "do", "does", "for"),
        *("from", "given", "has", "have", "how", "i", "in", "into", "is", "it", "its", "of", "on", "or"),
        *("our", "out", "please", "should", "so", "some", "that", "the", "their", "them", "these", "they", "this"),
        *("those", "to", "tool", "tools", "us", "via", "want", "was", "we", "what", "when", "where", "which", "who"),
        *("will", "with", "would", "you", "your", "need", "using", "use"),
    ]
)
