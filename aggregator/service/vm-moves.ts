/**
 * May a VM that one host reports be another's by now? Hosts speak for their own VMs: while its host is connected, has it
 * running and knows of no job, nobody else may claim it. During a live migration the source has a job; afterwards it says that
 * the VM has left, and reports it stopped or gone. Input: live state; output: yes or no.
 */
import type { HostId } from '../../shared/ids.ts';
import type { VmRecord } from '../core/state/vm-record.ts';

export function mayMove(record: VmRecord | undefined, to: HostId, connected: (host: HostId) => boolean): boolean {
  if (record === undefined || record.host === to || record.hasLeft || !connected(record.host)) return true;
  const { state, jobActive } = record.inventory;
  return jobActive || state === 'stopped' || state === 'error' || state === 'unknown';
}
