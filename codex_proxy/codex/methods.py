"""The methods that a CLI may send us, and what becomes of each: notifications that are known, requests that are declined.

From the schema that CLI 0.163.0 writes of itself, with what was seen of others from 0.147.0 to 0.169.0. Newer versions bring
new ones: those are ignored or refused, and counted, so that it shows.
"""

from typing import Any

# A call of a client's tool is not answered: the turn is interrupted as soon as the model's response is complete, and with
# an answer the CLI would have asked the model again by then.
CLIENTS_TOOL = "item/tool/call"

# Every other request of the CLI gets an answer at once, or the turn hangs for ever. All of them are declined.
DECLINED: dict[str, Any] = {
    "item/commandExecution/requestApproval": {"decision": "decline"},
    "item/fileChange/requestApproval": {"decision": "decline"},
    "item/permissions/requestApproval": {"permissions": {}},
    "item/tool/requestUserInput": {"answers": {}},
    "mcpServer/elicitation/request": {"action": "decline"},
    "applyPatchApproval": {"decision": "abort"},
    "execCommandApproval": {"decision": "abort"},
}

# Notifications that we never read: not sending them saves both sides the JSON.
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
