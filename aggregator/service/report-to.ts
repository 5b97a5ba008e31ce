/** Where reporters tell what happened: whoever watches now, the ledger, owners of VMs, the log. */
import type { Logger } from '../../shared/log.ts';
import type { EventLog } from './event-log.ts';
import type { LedgerQueue } from './ledger-queue.ts';
import type { NotificationLog } from './notification-log.ts';

export interface ReportTo {
  events: EventLog;
  queue: LedgerQueue;
  notifications: NotificationLog;
  log: Logger;
  nowMs: () => number;
}
