"""Every number that Lockgate promises, by benchmark and figure. `docs/benchmarks.md` has the same table."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Floor:
    """The worst value a figure may have: `bound` is "at most", "under" or "at least"."""

    figure: str
    bound: str
    value: float

    def met(self, measured: float) -> bool:
        return _BOUNDS[self.bound](measured, self.value)


_BOUNDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "at most": operator.le,
    "under": operator.lt,
    "at least": operator.ge,
}

FLOORS: Final[Mapping[str, tuple[Floor, ...]]] = {
    "startup": (
        Floor("javascript_call_p50_ms", "at most", 1.2),
        Floor("javascript_call_p95_ms", "at most", 1.6),
        Floor("python_call_p50_ms", "at most", 2.0),
        Floor("python_call_p95_ms", "at most", 3.0),
        Floor("javascript_dedicated_call_p95_ms", "at most", 4.0),
        Floor("python_dedicated_call_p95_ms", "at most", 4.0),
        Floor("javascript_throughput_per_s", "at least", 1_400),
        Floor("javascript_gateway_cpu_ms", "at most", 0.45),
        Floor("javascript_worker_cpu_ms", "at most", 0.45),
    ),
    "serve": (Floor("serve_to_first_execution_p50_s", "under", 1.5),),
    "typescript": (Floor("typescript_added_p50_ms", "at most", 1.0),),
    "search": (
        Floor("github_load_s", "under", 5),
        Floor("github_cached_load_s", "under", 0.5),
        Floor("github_rss_growth_mb", "under", 400),
        Floor("many_index_s", "under", 3),
        Floor("many_query_p50_ms", "under", 10),
        Floor("many_query_p95_ms", "under", 10),
        Floor("github_tuned_recall_ratio", "at least", 0.95),
        Floor("github_tuned_rank_ratio", "at least", 0.85),
        Floor("github_held_out_recall_ratio", "at least", 0.9),
        Floor("github_held_out_rank_ratio", "at least", 0.8),
        Floor("mixed_tuned_recall_ratio", "at least", 0.93),
        Floor("mixed_tuned_rank_ratio", "at least", 0.85),
        Floor("mixed_held_out_recall_ratio", "at least", 0.95),
        Floor("mixed_held_out_rank_ratio", "at least", 0.85),
    ),
    "tokens": tuple(
        floor
        for place in ("github", "stripe", "kubernetes", "everything")
        for floor in (
            Floor(f"{place}_pair_tokens", "under", 700),
            Floor(f"{place}_describe_p100_tokens", "at most", 1_500),
        )
    ),
    "memory": (
        Floor("javascript_warmed_1000_pss_mb", "under", 300),
        Floor("python_unwarmed_1000_pss_mb", "under", 600),
    ),
    "limits": tuple(
        Floor(f"{language}_{kind}_{at_once}_overshoot_p95_ms", "at most", 10)
        for language in ("javascript", "python")
        for kind in ("spin", "flood")
        for at_once in (1, 16)
    ),
    "fairness": (
        Floor("first_p95_ratio", "at most", 2),
        Floor("steady_p95_ratio", "at most", 2),
    ),
    "egress": (
        Floor("added_p50_ms", "at most", 1.0),
        Floor("throughput_per_core_per_s", "at least", 1_200),
        Floor("stream_200mb_peak_rss_mb", "under", 120),
    ),
    "scan": tuple(
        Floor(f"{kind}_mb_per_s", "at least", 200)
        for kind in ("json", "json_frames", "html", "text", "base64", "binary", "json_slashes", "decoys", "percent")
    ),
    "dlp": (
        *(
            Floor(f"{kind}_{way}_mb_per_s", "at least", 150)
            for kind in ("json", "text")
            for way in ("held", "streamed")
        ),
        Floor("head_us", "at most", 100),
    ),
    "revocation": tuple(
        Floor(f"{relay}_{ending}_p100_ms", "at most", 100)
        for relay in ("tunnel", "stream")
        for ending in ("revoked", "expired")
    ),
    "store": (
        Floor("sqlite_call_p50_ms", "at most", 2.0),
        Floor("unsynced_first_write_p50_ms", "at most", 0.7),
        Floor("sqlite_paused_kb", "under", 20),
        Floor("postgres_paused_kb", "under", 20),
    ),
    "durability": (
        Floor("sqlite_write_added_p50_ms", "at most", 2.0),
        Floor("sqlite_none_stored_count", "at most", 0),
        Floor("postgres_none_stored_count", "at most", 0),
        Floor("resume_10_receipt_p95_ms", "at most", 50),
        Floor("resume_10_reply_p95_ms", "at most", 50),
        Floor("sqlite_paused_kb", "under", 20),
        Floor("postgres_paused_kb", "under", 20),
        Floor("held_processes_added_count", "at most", 0),
        Floor("held_worker_threads_most_count", "at most", 20),
    ),
    "soak": (
        Floor("pss_growth_percent", "under", 5),
        Floor("descriptors_leaked_count", "at most", 0),
        Floor("processes_leaked_count", "at most", 0),
        Floor("threads_leaked_count", "at most", 0),
        Floor("worker_threads_most_count", "at most", 20),
        Floor("temporary_files_leaked_count", "at most", 0),
        Floor("unexpected_endings_count", "at most", 0),
    ),
}


def floors_of(benchmark: str) -> tuple[Floor, ...]:
    """Those of one benchmark; none for one that promises nothing."""
    return FLOORS.get(benchmark, ())
