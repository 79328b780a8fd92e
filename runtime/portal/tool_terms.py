"""What a profile says of the tools of the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from runtime.execution.hostcall import CallContext
from runtime.portal.openapi_operation import HttpBinding
from runtime.portal.tool import Tool
from runtime.portal.upstreams import Upstreams
from sandboxes.approval_rule import ApprovalRules
from sandboxes.environment import Environment
from sandboxes.profile import Profile
from sandboxes.tool_approval import ToolApproval, ToolFacts, tool_approval
from sandboxes.tools import ToolRules


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolTerms:
    """Rules about tools, and the environments that calls may come from."""

    tools: ToolRules
    approvals: ApprovalRules
    environments: Sequence[Environment]

    @classmethod
    def of_profile(cls, profile: Profile, environment: Environment | None = None) -> Self:
        """Of a caller from one environment, or from any that the profile knows."""
        environments = profile.environments if environment is None else (environment,)
        return cls(tools=profile.tools, approvals=profile.approvals, environments=environments)

    @classmethod
    def of_program(cls, context: CallContext) -> Self:
        """Of a program that runs."""
        return cls(tools=context.tools, approvals=context.approvals, environments=(context.environment,))

    def approval(self, tool: Tool, upstreams: Upstreams) -> ToolApproval:
        """What a call of the tool meets."""
        facts = ToolFacts(
            name=tool.full_name,
            method=tool.binding.method if isinstance(tool.binding, HttpBinding) else "",
            effect=tool.effect,
            undoable=upstreams.inverse(tool) is not None,
        )
        return tool_approval(self.tools, self.approvals, facts, self.environments)
