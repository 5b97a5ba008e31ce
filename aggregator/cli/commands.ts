/** The table of commands, in the order in which help shows them. */
import type { Command } from './command.ts';
import { agentKeys, agentRevoke, agentRotate, agentToken } from './commands/agent-key.ts';
import { anomalyExpect, anomalyFeedback, anomalyRelease } from './commands/anomaly-feedback.ts';
import { anomalyList } from './commands/anomaly-list.ts';
import { approve, recommendList, rollback } from './commands/approve.ts';
import { auditVerify } from './commands/audit-verify.ts';
import { backtest } from './commands/backtest.ts';
import { backup, restore } from './commands/backup.ts';
import { capacityList } from './commands/capacity-list.ts';
import { completionOf } from './commands/completion.ts';
import { demandShow } from './commands/demand.ts';
import { describe } from './commands/describe.ts';
import { detect } from './commands/detect.ts';
import { events } from './commands/events.ts';
import { groupGiveBack, groupHandOver, groupList, groupShow, groupUndo } from './commands/group.ts';
import { hostList } from './commands/host-list.ts';
import { freeze, killSwitchOff, killSwitchOn, killSwitchStatus, unfreeze } from './commands/kill-switch.ts';
import { loanList, shortageList } from './commands/loan-list.ts';
import { lookCommand } from './commands/look.ts';
import { mapCommand } from './commands/map.ts';
import { planList, planShow } from './commands/plan.ts';
import { policyApply, policyDiff, policyGet, policyShow } from './commands/policy.ts';
import { policyHistory, policyRollback } from './commands/policy-history.ts';
import { profileList, profileRemove, profileSet, profileUse } from './commands/profile.ts';
import { reportSavings } from './commands/report.ts';
import { simulate } from './commands/simulate.ts';
import { slaList } from './commands/sla-list.ts';
import { status } from './commands/status.ts';
import {
  prefetchStart,
  prefetchStatus,
  prefetchStop,
  resumeVm,
  snapshotGc,
  snapshotList,
  snapshotTiers,
  snapshotVerify,
  suspendVm,
} from './commands/suspension.ts';
import { templateApply, templateCheck, templateList, templateShow } from './commands/template.ts';
import { tls } from './commands/tls.ts';
import { tokenList, tokenMake, tokenRevoke } from './commands/token.ts';
import { top } from './commands/top.ts';
import { vmCredentials } from './commands/vm-credentials.ts';
import { vmExplain } from './commands/vm-explain.ts';
import { vmList } from './commands/vm-list.ts';
import { vmShow } from './commands/vm-show.ts';

export const COMMANDS: readonly Command[] = [
  lookCommand,
  status,
  top,
  hostList,
  vmList,
  vmShow,
  vmExplain,
  describe,
  vmCredentials,
  planList,
  planShow,
  recommendList,
  approve,
  rollback,
  reportSavings,
  events,
  policyGet,
  policyShow,
  policyDiff,
  policyApply,
  policyHistory,
  policyRollback,
  demandShow,
  groupList,
  groupShow,
  groupUndo,
  groupHandOver,
  groupGiveBack,
  templateList,
  templateShow,
  templateApply,
  templateCheck,
  suspendVm,
  resumeVm,
  snapshotList,
  snapshotTiers,
  snapshotVerify,
  snapshotGc,
  prefetchStart,
  prefetchStop,
  prefetchStatus,
  slaList,
  capacityList,
  loanList,
  mapCommand,
  shortageList,
  anomalyList,
  anomalyFeedback,
  anomalyExpect,
  anomalyRelease,
  freeze,
  unfreeze,
  killSwitchOn,
  killSwitchOff,
  killSwitchStatus,
  auditVerify,
  agentToken,
  agentKeys,
  agentRotate,
  agentRevoke,
  tokenMake,
  tokenList,
  tokenRevoke,
  backup,
  restore,
  profileList,
  profileSet,
  profileUse,
  profileRemove,
  tls,
  backtest,
  detect,
  simulate,
  completionOf(() => COMMANDS),
];
