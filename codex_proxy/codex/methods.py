"""The methods that the CLI may send, and how each is handled: known notifications and declined requests.

Taken from the schema that CLI 0.163.0 generates, and from what versions 0.147.0 to 0.171.0 were seen to send. Methods that
newer versions add are ignored or refused, and counted in the metrics.
"""

from typing import Any

# A call to a client's tool gets no answer: the turn is interrupted once the model's response is complete, and with an answer
# the CLI would already have asked the model again.
CLIENTS_TOOL = "item/tool/call"

# Every other request from the CLI must be answered at once, or the turn hangs forever. All of them are declined.
DECLINED: dict[str, Any] = {
    "item/commandExecution/requestApproval": {"decision": "decline"},
    "item/fileChange/requestApproval": {"decision": "decline"},
    "item/permissions/requestApproval": {"permissions": {}},
    "item/tool/requestUserInput": {"answers": {}},
    "mcpServer/elicitation/request": {"action": "decline"},
    "applyPatchApproval": {"decision": "abort"},
    "execCommandApproval": {"decision": "abort"},
}

# Notifications that we never read: opting out of them saves both sides the JSON.
UNWANTED = (
    "thread/started",
    "thread/status/changed",
    "thread/settings/updated",
    "turn/started",
    "turn/diff/updated",
    "item/reasoning/summaryPartAdded",
    "item/commandExecution/terminalInteraction",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "remoteControl/status/changed",
    "mcpServer/startupStatus/updated",
)

LIMITS = "account/rateLimits/updated"

_READ = """
    error turn/completed turn/plan/updated rawResponse/completed rawResponseItem/completed thread/tokenUsage/updated
    item/started item/completed item/agentMessage/delta item/commandExecution/outputDelta item/mcpToolCall/progress
    item/reasoning/summaryTextDelta item/reasoning/textDelta
"""
_IGNORED = """
    account/gatewayOAuth/changed account/login/completed account/updated app/list/updated
    autoApprovalReview/strictReviewRequired command/exec/outputDelta configWarning deprecationNotice
    externalAgentConfig/import/completed externalAgentConfig/import/progress fs/changed
    fuzzyFileSearch/sessionCompleted fuzzyFileSearch/sessionUpdated guardianWarning hook/completed hook/started
    item/autoApprovalReview/completed item/autoApprovalReview/started item/plan/delta
    mcpServer/event/stream/notification mcpServer/oauthLogin/completed
    model/rerouted model/safetyBuffering/updated model/verification
    modelProvider/authRecoveryCompleted modelProvider/authRecoveryStarted
    process/exited process/outputDelta project/changed serverRequest/resolved skills/changed
    thread/archived thread/attachment/updated thread/closed thread/compacted thread/deleted
    thread/environment/connected thread/environment/disconnected thread/goal/cleared thread/goal/updated
    thread/name/updated thread/prediction/updated thread/project/updated thread/queue/changed thread/readState/changed
    thread/reverted thread/unarchived turn/moderationMetadata warning
"""
KNOWN = frozenset((CLIENTS_TOOL, LIMITS, *UNWANTED, *_READ.split(), *_IGNORED.split()))
