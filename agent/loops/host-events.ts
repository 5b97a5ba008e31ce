/** The hypervisor's events: what they change in the table. Input: events; output: looks at VMs, events for the aggregator. */
import { errorText } from '../../shared/errors.ts';
import type { HypervisorEvent } from '../hypervisor/hypervisor.ts';
import type { DiscoveryLoop } from './discover.ts';
import { type HostContext, tell } from './host-context.ts';
import { noteSeen, refreshSetting } from './settings.ts';

export function handleEvent(context: HostContext, discovery: DiscoveryLoop, event: HypervisorEvent): void {
  const failed = (error: unknown): void => context.log.warn('could not follow an event', { event: event.kind, error: errorText(error) });
  switch (event.kind) {
    case 'lifecycle': {
      if (context.table.get(event.id)?.managed) {
        tell(context, 'lifecycle', `${event.name} is ${event.power}${event.detail && ` (${event.detail})`}`, { vm: event.id });
      }
      if (/reboot|reset/i.test(event.detail)) discovery.rebooted(event.id);
      discovery.one(event.id, event.name, event.power).catch(failed);
      return;
    }
    case 'defined':
    case 'undefined':
      discovery.all().catch(failed);
      return;
    case 'balloon': {
      const entry = context.table.get(event.id);
      if (entry?.managed && !entry.writing.has('memory')) {
        noteSeen(context, entry, { resource: 'memory', memoryMiB: event.actualMiB }).catch(failed);
      }
      return;
    }
    case 'tunable': {
      const entry = context.table.get(event.id);
      if (entry?.managed) void Promise.all([refreshSetting(context, entry, 'cpu'), refreshSetting(context, entry, 'disk')]);
      return;
    }
    case 'channel':
      discovery.all().catch(failed);
      return;
    case 'connection':
      tell(context, 'hypervisor-connection', event.connected ? 'connected to the hypervisor' : `hypervisor lost: ${event.reason}`);
      context.changed();
      if (event.connected) discovery.all().catch(failed);
      return;
  }
}
