/** The seam to those who want to be told: a notification about one VM goes out, nothing waits for it. */
import type { VmId } from '../../shared/ids.ts';
import type { Resource } from '../../shared/resources.ts';

export const NOTIFICATION_KINDS = [
  'change',
  'not-changed',
  'harm',
  'hands-off',
  'state',
  'guard',
  'loan',
  'shortage',
  'kill-switch',
  'credential',
  'anomaly',
  'group',
  'suspension',
] as const;
export type NotificationKind = (typeof NOTIFICATION_KINDS)[number];

export interface Notification {
  /** Rises, also over restarts of the aggregator. */
  id: number;
  timeMs: number;
  vm: VmId;
  vmName: string;
  kind: NotificationKind;
  resource: Resource | null;
  /** One sentence for the VM's owner. */
  message: string;
  data: Record<string, unknown>;
}

export interface Notifier {
  /** Returns at once; what cannot be delivered is retried, then counted. */
  notify(notification: Notification, labels: Readonly<Record<string, string>>, host: string): void;
  metrics(): Record<string, number>;
  stop(): Promise<void>;
}
